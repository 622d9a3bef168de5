"""Whether a search with `cvt` archives finds as much as one with grids, on a formula.

    python benchmarks/archives_of_cells.py [--children 300 1000] [--cells 225 2000]

Three tasks, so that both kinds can be had with the same number of cells. A grid of 15 bins has 225
cells, and one of 45 has 2025, the nearest to 2000. The formula is that of seed_pool.py: each task
has a best scale of every singular direction.

Both kinds are measured on the same grid of 20 bins, whose edges are those of neither: all models
that were evaluated, and the elites alone. Each seed is searched with both, so gaps are paired.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable

import numpy as np
from search_overhead import recipe
from seed_pool import Formula, shown

from mergekit_cycleqd.recipe.archive import Archive
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.cycleqd import CycleQD

TASKS = 3
COLUMNS = (
    "best mean",
    "QD score of all models",
    "coverage of all models",
    "QD score of elites",
    "coverage of elites",
    "elites",
)
MEASURED = 20
"""Bins of the grid on which all are measured. A grid of 15 or 45 would favour such grids."""


def run_of(kind: str, cells: int, children: int, seed: int) -> Recipe:
    """A run whose archives have so many cells, or nearly so many."""
    made = recipe(children, tasks=TASKS, bins=round(cells ** (1 / (TASKS - 1))))
    archive = Archive.model_validate({"kind": kind} | ({"cells": cells} if kind == "cvt" else {}))
    evolution = made.evolution.model_copy(update={"seed": seed, "archive": archive})
    return made.model_copy(update={"evolution": evolution})


def measured(run: Recipe, models: Iterable[Elite]) -> list[float]:
    """QD score and coverage of models on the grid of all, means over the tasks."""
    found = []
    offered = sorted(models, key=lambda model: model.index)
    for task in run.task_names:
        axes = [name for name in run.task_names if name != task]
        bins, ranges = [MEASURED] * len(axes), [(0.0, 1.2)] * len(axes)
        grid = TaskArchive(task, axes, bins, ranges)
        grid.refill(offered)
        found.append((grid.qd_score, grid.coverage))
    return [float(value) for value in np.mean(found, axis=0)]


def row(kind: str, cells: int, children: int, seed: int) -> list[float]:
    """What came of one search, in the order of `COLUMNS`."""
    run = run_of(kind, cells, children, seed)
    search, formula, told = CycleQD(run), Formula(seed, run.task_names), []
    while not search.done:
        candidate = search.ask()
        scores = formula(candidate.genome)
        search.tell(candidate, scores)
        told.append(Elite(candidate.index, candidate.genome, scores, candidate.parents))
    elites = {e.index: e for task in search.tasks for e in search.elites(task)}
    return [
        max(sum(model.scores.values()) for model in told) / TASKS,
        *measured(run, told),
        *measured(run, elites.values()),
        len(elites),
    ]


def main() -> None:
    """Print a row for each kind, number of cells and of children, and the gaps."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, nargs="+", default=[300, 1000])
    parser.add_argument("--cells", type=int, nargs="+", default=[225, 2000])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    head = f"| cells | children | archive | {' | '.join(COLUMNS)} |"
    print(f"{head}\n| ---: | ---: | --- |{' ---: |' * len(COLUMNS)}")
    for cells in args.cells:
        for children in args.children:
            found = {
                kind: np.array([row(kind, cells, children, seed) for seed in args.seeds])
                for kind in ("grid", "cvt")
            }
            rows = found | {"cvt less grid": found["cvt"] - found["grid"]}
            for name, values in rows.items():
                print(
                    f"| {cells} | {children} | {name} | {' | '.join(map(shown, values.T))} |",
                    flush=True,
                )


if __name__ == "__main__":
    main()
