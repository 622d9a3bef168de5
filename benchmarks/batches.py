"""Whether many workers find as much as one, on a formula: `preset: best` in batches of children.

    python benchmarks/batches.py [--children 400] [--lags 1 32 128] [--seeds 0 1 2 3 4]

A run with W workers breeds child i from the archives after child i - 2 W, its lag. So a batch of
children is screened by the same archives. With `screen_apart`, the default, screening counts what
the children under way may reach as reached. The formula is that of seed_pool.py: each task has a
best scale of every singular direction.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from search_overhead import recipe
from seed_pool import Formula, shown

from mergekit_cycleqd.recipe.evolution import Evolution
from mergekit_cycleqd.search.cycleqd import CycleQD

COLUMNS = ("best mean", "QD score", "coverage", "ms per child")


def row(seed: int, children: int, lag: int, apart: bool) -> list[float]:
    """What came of one search, in the order of `COLUMNS`."""
    settings = {"children": children, "lag": lag, "screen_apart": apart, "seed": seed}
    evolution = Evolution.model_validate({"preset": "best", **settings})
    run = recipe(children).model_copy(update={"evolution": evolution})
    search, formula = CycleQD(run), Formula(seed, run.task_names)
    start = time.process_time()
    while not search.done:
        batch = []
        while search.ready:
            batch.append(search.ask())
        for candidate in batch:
            search.tell(candidate, formula(candidate.genome))
    spent = 1e3 * (time.process_time() - start) / children
    archives = list(search.archives.values())
    return [
        max(sum(e.scores.values()) for a in archives for e in a.elites) / len(archives),
        float(np.mean([a.qd_score for a in archives])),
        float(np.mean([a.coverage for a in archives])),
        spent,
    ]


def main() -> None:
    """Print a row for each lag, without and with a look at the children under way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=400)
    parser.add_argument("--lags", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    print(f"| lag | screen_apart | {' | '.join(COLUMNS)} |\n| ---: | --- |{' ---: |' * 4}")
    for lag in args.lags:
        found = {}
        for apart in (False, True) if lag > 1 else (True,):
            found[apart] = np.array([row(seed, args.children, lag, apart) for seed in args.seeds])
            cells = " | ".join(shown(column) for column in found[apart].T)
            print(f"| {lag} | {str(apart).lower()} | {cells} |", flush=True)
        if len(found) == 2:
            gaps = (found[True] - found[False]).T
            said = ", ".join(f"{COLUMNS[i]} {shown(gaps[i])}" for i in range(3))
            print(f"\nlag {lag}, with less without: {said}\n", flush=True)


if __name__ == "__main__":
    main()
