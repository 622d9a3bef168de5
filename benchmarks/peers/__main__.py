"""Run what is missing, then print the table."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from benchmarks.peers import family
from benchmarks.peers.environments import environment
from benchmarks.peers.runs import keep, killed, measured
from benchmarks.peers.table import KILLED, Results, read, tables
from benchmarks.peers.tools import TOOLS, steps

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    """Run, and print."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peers", description=__doc__)
    parser.add_argument("--only", choices=TOOLS, nargs="+", default=list(TOOLS))
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2, 3, 4])
    parser.add_argument("--evaluations", type=int, default=family.EVALUATIONS)
    parser.add_argument("--no-kill", action="store_true", help="Leave the killed runs out.")
    parser.add_argument("--torch", default="torch==2.13.0", help="What pip installs first.")
    parser.add_argument("--environments", type=Path, default=family.ROOT)
    parser.add_argument("--out", type=Path, default=family.ROOT / "runs" / "peers")
    parser.add_argument("--save", type=Path, default=RESULTS, help="Folder of the rows.")
    args = parser.parse_args()
    wanted = [(name, str(seed)) for seed in args.seeds for name in args.only]
    wanted += [] if args.no_kill else [(name, KILLED) for name in args.only]
    for name, what in wanted:
        file = args.save / name / f"{what}.json"
        if file.is_file():
            continue
        if not family.MODELS.is_dir():
            raise SystemExit(
                f"{family.MODELS} is missing: python recipes/quickstart/make_models.py"
            )
        tool, folder = TOOLS[name], (args.out / name / what).resolve()
        python = Path("none")
        if tool.packages:
            python = environment(args.environments / f".venv-{name}", steps(tool, args.torch))
        if what == KILLED:
            row = killed(tool, python, folder, args.evaluations // 3)
        else:
            row = measured(tool, python, folder, int(what), args.evaluations)
        keep(file, row)
        print(f"{name} {what}: {json.dumps(row)}", flush=True)
    found: Results = read(args.save)
    print(tables(found))


if __name__ == "__main__":
    main()
