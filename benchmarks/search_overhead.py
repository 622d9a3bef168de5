"""Measure what the search costs: time per child as archives fill, its journal, and its replay.

    python benchmarks/search_overhead.py --children 100000 --tasks 3 --preset best --seeds 64

Scores come from a formula over the genome's weights, so that only the search is measured: asking,
telling, and one journal line per child. Lines are written without fsync, whose time is the disk's.
Times are those of the processor, so that other programs do not count.
At each power of ten the journal is replayed by a process of its own, whose memory is measured too.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from mergekit_cycleqd.recipe.presets import PRESETS
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD

BINS = {3: 15, 8: 3}
"""Cells of each axis by the number of tasks: 225 and 2187 cells of an archive."""

COLUMNS = (
    "children",
    "ms per child",
    "MB",
    "journal, bytes per child",
    "replay, s",
    "replay, MB",
    "elites",
    "coverage",
    "terms of an elite: mean",
    "most",
    "largest recipe, KB",
)


def recipe(
    children: int, preset: str = "paper", tasks: int = 3, bins: int | None = None, **mutation: Any
) -> Recipe:
    """Make a recipe of so many tasks, with the settings of a preset."""
    names = [f"task-{number}" for number in range(tasks)]
    bins = bins or BINS.get(tasks, 3)
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": f"expert-{t}", "task": t} for t in names],
            "tasks": [
                {
                    "name": t,
                    "task": t,
                    "metric": "m",
                    "samples": {"search": "0-9"},
                    "range": [0, 1.2],
                    "bins": bins,
                }
                for t in names
            ],
            "evolution": {
                "children": children,
                "preset": preset,
                **({"mutation": mutation} if mutation else {}),
            },
        }
    )


def scores(candidate: Candidate, tasks: tuple[str, ...]) -> dict[str, float]:
    """Score a candidate: each task is best near a weight of 0.8 for its expert, plus noise."""
    weights = candidate.genome.weights
    shake = random.Random(candidate.index)
    return {
        task: math.exp(-4 * (weights[k] - 0.8) ** 2) + shake.gauss(0, 0.05)
        for k, task in enumerate(tasks)
    }


def memory() -> float:
    """Largest memory that this process has had, in MB."""
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def header(run: Recipe) -> dict[str, Any]:
    """The header of the journal of a run."""
    return {"recipe": run.model_dump(mode="json"), "fingerprints": {}, "versions": {}}


def replay(folder: Path, run: Recipe) -> None:
    """Replay a journal, and print the seconds and MB that it takes, and the elites."""
    start = time.process_time()
    journal = Journal.open(folder, header(run))
    search = CycleQD(run, journal.replay(run.family))
    spent = time.process_time() - start
    journal.close()
    print(json.dumps({"seconds": spent, "memory": memory(), "elites": elites_of(search)}))


def elites_of(search: CycleQD) -> dict[str, list[list[Any]]]:
    """Number and genome of each elite, by task."""
    return {t: [[e.index, e.genome.id] for e in search.elites(t)] for t in search.tasks}


def replayed(folder: Path, search: CycleQD, arguments: list[str]) -> dict[str, Any]:
    """What another process needs to replay a journal.

    Raises:
        SystemExit: If its elites are other ones.
    """
    command = [sys.executable, __file__, "--replay", str(folder), *arguments]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found: dict[str, Any] = json.loads(printed)
    if found["elites"] != elites_of(search):
        raise SystemExit("the journal gives other elites than the search has")
    return found


def shown_at(children: int) -> Iterator[int]:
    """The powers of ten from 1000, and the last child."""
    count = 1000
    while count < children:
        yield count
        count *= 10
    yield children


def row(
    search: CycleQD, children: int, spent: float, size: int, found: dict[str, Any]
) -> tuple[str, ...]:
    """One row of the table."""
    genomes = [e.genome for task in search.tasks for e in search.elites(task)]
    terms = [len(genome.terms) for genome in genomes]
    coverage = sum(a.coverage for a in search.archives.values()) / len(search.tasks)
    largest = max(genomes, key=lambda genome: len(genome.terms))
    return (
        str(children),
        f"{1e3 * spent:.3f}",
        f"{psutil.Process().memory_info().rss / 1e6:.0f}",
        f"{size / children:.0f}",
        f"{found['seconds']:.1f}",
        f"{found['memory']:.0f}",
        str(len(genomes)),
        f"{coverage:.1%}",
        f"{sum(terms) / len(terms):.0f}",
        str(max(terms)),
        f"{len(largest.to_yaml().encode()) / 1e3:.1f}",
    )


def main() -> None:
    """Run the search, replay its journal, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=100_000)
    parser.add_argument("--tasks", type=int, default=3)
    parser.add_argument("--preset", choices=PRESETS, default="paper")
    parser.add_argument("--seeds", type=int, help="of the pool that mutation draws from")
    parser.add_argument("--replay", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    mutation = {} if args.seeds is None else {"seeds": args.seeds}
    run = recipe(args.children, args.preset, args.tasks, **mutation)
    if args.replay:
        replay(args.replay, run)
        return
    search, shown = CycleQD(run), shown_at(args.children)
    print(f"| {' | '.join(COLUMNS)} |\n|{' ---: |' * len(COLUMNS)}")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        journal = Journal.open(folder, header(run))
        journal.close()
        with (folder / FILE).open("ab") as stream:
            last, due, start = 0, next(shown), time.process_time()
            while not search.done:
                candidate = search.ask()
                told = scores(candidate, search.tasks)
                record = Record(candidate.genome, "search", told, candidate)
                stream.write(encode(journal.line_of(record)))
                search.tell(candidate, told)
                if search.children_told == due:
                    spent = (time.process_time() - start) / (due - last)
                    stream.flush()
                    found = replayed(folder, search, sys.argv[1:])
                    size = (folder / FILE).stat().st_size
                    print(f"| {' | '.join(row(search, due, spent, size, found))} |", flush=True)
                    last, due, start = due, next(shown, 0), time.process_time()


if __name__ == "__main__":
    main()
