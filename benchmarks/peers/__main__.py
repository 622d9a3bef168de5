"""Run what is missing, then print the tables."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from benchmarks.peers import family
from benchmarks.peers.environments import environment
from benchmarks.peers.runs import keep, killed, measured
from benchmarks.peers.table import KILLED, read, tables
from benchmarks.peers.tools import MERGENETIC_POPULATION, TOOLS, steps

RESULTS = Path(__file__).parent / "results"


def arguments() -> argparse.Namespace:
    """What is asked for.

    Raises:
        SystemExit: If rows of different searches would be mixed.
    """
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
    if args.evaluations < 1 or args.evaluations % min(args.evaluations, MERGENETIC_POPULATION):
        parser.error(
            f"--evaluations {args.evaluations}: needs at most {MERGENETIC_POPULATION} or a "
            f"multiple of it, which is mergenetic's population"
        )
    if args.evaluations != family.EVALUATIONS and args.save.resolve() == RESULTS:
        parser.error(
            f"--evaluations {args.evaluations}: the saved rows are of {family.EVALUATIONS}; "
            f"name another folder with --save"
        )
    return args


def missing(args: argparse.Namespace) -> list[tuple[str, str]]:
    """The runs without a row, each by its tool and its seed or `KILLED`; says what will be done.

    Raises:
        SystemExit: If there are some and the models to merge are not there.
    """
    wanted = [(name, str(seed)) for seed in args.seeds for name in args.only]
    wanted += [] if args.no_kill else [(name, KILLED) for name in args.only]
    left = [(name, what) for name, what in wanted if not row_of(args, name, what).is_file()]
    there = f"{len(wanted) - len(left)} of {len(wanted)} rows are in {args.save}"
    if not left:
        print(f"{there}: nothing is run", file=sys.stderr)
        return []
    names = ", ".join(f"{name} {what}" for name, what in left)
    print(f"{there}; runs, one after another: {names}", file=sys.stderr)
    if not family.MODELS.is_dir():
        raise SystemExit(f"{family.MODELS} is missing: python recipes/quickstart/make_models.py")
    return left


def row_of(args: argparse.Namespace, name: str, what: str) -> Path:
    """The file of a row."""
    return Path(args.save / name / f"{what}.json")


def main() -> None:
    """Run, and print."""
    args = arguments()
    for name, what in missing(args):
        tool, folder = TOOLS[name], (args.out / name / what).resolve()
        python = Path("none")
        if tool.packages:
            python = environment(args.environments / f".venv-{name}", steps(tool, args.torch))
        if what == KILLED:
            row = killed(tool, python, folder, family.KILLED_EVALUATIONS)
        else:
            row = measured(tool, python, folder, int(what), args.evaluations)
        keep(row_of(args, name, what), row)
        print(f"{name} {what}: {json.dumps(row)}", file=sys.stderr, flush=True)
    print(tables(read(args.save)))


if __name__ == "__main__":
    main()
