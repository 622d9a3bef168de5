"""Measure what the search costs: time per child as archives fill, and replay of a journal.

    python benchmarks/search_overhead.py [--children 100000] [--preset best]

Scores come from a formula over the genome's weights, so that only the search is measured: asking,
telling, and one journal line per child. Lines are written without fsync, whose time is the disk's.
"""

from __future__ import annotations

import argparse
import math
import random
import tempfile
import time
from pathlib import Path

from mergekit_cycleqd.recipe.presets import PRESETS
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD

TASKS = ("coding", "db", "os")


def recipe(children: int, preset: str = "paper") -> Recipe:
    """Make a recipe of three tasks with 15 bins per axis, with the settings of a preset."""
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": f"expert-{t}", "task": t} for t in TASKS],
            "tasks": [
                {
                    "name": t,
                    "task": t,
                    "metric": "m",
                    "samples": {"search": "0-9"},
                    "range": [0, 1.2],
                }
                for t in TASKS
            ],
            "evolution": {"children": children, "preset": preset},
        }
    )


def scores(candidate: Candidate) -> dict[str, float]:
    """Score a candidate: each task is best near a weight of 0.8 for its expert, plus noise."""
    weights = candidate.genome.weights
    shake = random.Random(candidate.index)
    return {
        task: math.exp(-4 * (weights[k] - 0.8) ** 2) + shake.gauss(0, 0.05)
        for k, task in enumerate(TASKS)
    }


def main() -> None:
    """Run the search, then replay its journal, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=100_000)
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    args = parser.parse_args()
    children, run = args.children, recipe(args.children, args.preset)
    header = {"recipe": run.model_dump(mode="json"), "fingerprints": {}, "versions": {}}
    search = CycleQD(run)
    print("| children | ms per child | elites | coverage | most terms | largest recipe, KB |")
    print("| ---: | ---: | ---: | ---: | ---: | ---: |")
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal.open(Path(folder), header)
        journal.close()
        with (Path(folder) / FILE).open("ab") as stream:
            step, start = max(1, children // 10), time.perf_counter()
            while not search.done:
                candidate = search.ask()
                told = scores(candidate)
                stream.write(encode(Record(candidate.genome, "search", told, candidate).to_json()))
                search.tell(candidate, told)
                done = search.told_count - len(TASKS)
                if done and done % step == 0:
                    spent = time.perf_counter() - start
                    elites = [e for task in TASKS for e in search.elites(task)]
                    coverage = sum(a.coverage for a in search.archives.values()) / len(TASKS)
                    terms = max(len(e.genome.terms) for e in elites)
                    largest = max(len(e.genome.to_yaml().encode()) for e in elites)
                    print(
                        f"| {done} | {1e3 * spent / step:.3f} | {len(elites)} | {coverage:.1%} "
                        f"| {terms} | {largest / 1e3:.1f} |",
                        flush=True,
                    )
                    start = time.perf_counter()
        size = (Path(folder) / FILE).stat().st_size
        start = time.perf_counter()
        journal = Journal.open(Path(folder), header)
        again = CycleQD(run, journal.replay(run.family))
        spent = time.perf_counter() - start
        journal.close()
    same = all(
        [e.index for e in again.elites(task)] == [e.index for e in search.elites(task)]
        for task in TASKS
    )
    print(f"\nreplay of {children} children from {size / 1e6:.0f} MB: {spent:.1f} s, same: {same}")


if __name__ == "__main__":
    main()
