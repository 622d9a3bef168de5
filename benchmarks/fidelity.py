"""What adaptive fidelity saves on the quickstart, whose models write their answers.

    python recipes/quickstart/make_models.py
    OMP_NUM_THREADS=1 python benchmarks/fidelity.py [--children 150] [--preset paper]

Every way is a whole run by the command, with the same seed. Answers are those of candidates to
search samples. Seconds are those of the evaluations, with all that they wait for. The QD
score is the mean over the archives, by search samples.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from mergekit_cycleqd.run_folder.journal_reading import FILE, read_records
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.spent import Spent

RECIPES = Path(__file__).parents[1] / "recipes"
ADAPTIVE = {"kind": "adaptive"}
WAYS: Mapping[str, Mapping[str, Any]] = {
    "all answers": {},
    "early stop": {"early_stop": True},
    "adaptive": {"fidelity": ADAPTIVE},
    "adaptive, likelihood": {"fidelity": ADAPTIVE | {"likelihood": True}},
}
COLUMNS = ("answers", "share", "stopped", "seconds", "share", "QD score", "elites", "all-round")


def run(folder: Path, children: int, preset: str, way: Mapping[str, Any]) -> RunView:
    """Run the quickstart in one way, or look at the run that is there."""
    content = yaml.safe_load((RECIPES / "quickstart.yaml").read_text())
    content["evolution"] |= {"children": children, "preset": preset} | way
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", dir=RECIPES) as file:
        yaml.safe_dump(content, file)
        file.flush()
        command = [sys.executable, "-m", "mergekit_cycleqd", file.name, "--out", str(folder)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return RunView.read(folder)


def figures(view: RunView) -> dict[str, float]:
    """What a run cost, and what it found."""
    spent = Spent()
    for record in read_records(view.folder / FILE, view.recipe.family, lambda _: None):
        spent.add(record)
    archives = view.search.archives.values()
    best = view.search.best_all_round()
    return {
        "answers": spent.answers(view.counts["search"]),
        "stopped": sum(each.status == "stopped" for each in view.evaluations),
        "seconds": sum(spent.seconds.values()),
        "QD score": float(np.mean([archive.qd_score for archive in archives])),
        "elites": sum(len(archive.elites) for archive in archives),
        "all-round": float(np.mean(list(best.scores.values()))),
    }


def main() -> None:
    """Run all ways, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=150)
    parser.add_argument("--preset", default="paper")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=list(WAYS))
    parser.add_argument("--save", type=Path, help="folder for the runs; those there are taken")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = args.save or Path(name)
        found = {
            way: figures(run(folder / way, args.children, args.preset, WAYS[way]))
            for way in args.ways
        }
    print(f"| | {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * len(COLUMNS)}")
    first = next(iter(found.values()))
    for way, row in found.items():
        cells = (
            f"{row['answers']:.0f}",
            f"{row['answers'] / first['answers']:.2f}",
            f"{row['stopped']:.0f}",
            f"{row['seconds']:.0f}",
            f"{row['seconds'] / first['seconds']:.2f}",
            f"{row['QD score']:.1f}",
            f"{row['elites']:.0f}",
            f"{row['all-round']:.3f}",
        )
        print(f"| {way} | {' | '.join(cells)} |")


if __name__ == "__main__":
    main()
