"""Whether a search finds as much where mutations take their seeds from a pool, on a formula.

    python benchmarks/seed_pool.py [--children 1200] [--seeds 0 1 2 3 4]

Every task has a best scale of each singular direction of each expert, drawn anew for every seed of
the search. A score falls with the distance from them, so that what mutation does to single
directions counts. The draws are those that merges make. `benchmarks/miniature/pool.py` searches
trained models instead.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import stats
from search_overhead import recipe

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.merging.random_draws import scaled_sum
from mergekit_cycleqd.search.cycleqd import CycleQD

TENSORS = ("first", "second", "third", "fourth")
DIRECTIONS = 64
OWN, OTHERS, APART = 0.9, 0.3, 0.3
"""Best scale of the task's own expert and of the others on average, and its deviation."""

POOLS = (None, 64, 16, 4)
COLUMNS = ("best mean", "QD score", "coverage", "terms of an elite", "ms per child")


class Formula:
    """Scores of genomes of one seed's tasks."""

    def __init__(self, seed: int, tasks: Sequence[str]) -> None:
        """Draw the best scales, of shape (tasks, experts, tensors, directions)."""
        rng = np.random.Generator(np.random.Philox(1000 + seed))
        count, size = len(tasks), len(TENSORS) * DIRECTIONS
        middle = np.where(np.eye(count, dtype=bool), OWN, OTHERS)
        self._best = middle[:, :, None] + APART * rng.normal(size=(count, count, size))
        self._tasks = tasks

    def __call__(self, genome: Genome) -> dict[str, float]:
        """The score of every task, from 0 to 1."""
        scales = np.stack([self._scales(genome, k) for k in range(len(self._tasks))])
        away = ((scales - self._best) ** 2).mean(axis=2).sum(axis=1)
        return dict(zip(self._tasks, np.exp(-1.5 * away).tolist(), strict=True))

    def _scales(self, genome: Genome, expert: int) -> NDArray[np.float64]:
        terms = genome.terms_of(expert)
        drawn = [scaled_sum(terms, name, DIRECTIONS) for name in TENSORS]
        return genome.weights[expert] + np.concatenate(drawn)


def row(seed: int, children: int, pool: int | None) -> list[float]:
    """What came of one search, in the order of `COLUMNS`."""
    mutation: dict[str, Any] = {} if pool is None else {"seeds": pool}
    run = recipe(children, **mutation)
    run = run.model_copy(update={"evolution": run.evolution.model_copy(update={"seed": seed})})
    search, formula = CycleQD(run), Formula(seed, run.task_names)
    start = time.process_time()
    while not search.done:
        candidate = search.ask()
        search.tell(candidate, formula(candidate.genome))
    spent = 1e3 * (time.process_time() - start) / children
    archives = list(search.archives.values())
    best = max(sum(e.scores.values()) for a in archives for e in a.elites) / len(archives)
    terms = [len(e.genome.terms) for a in archives for e in a.elites]
    return [
        best,
        float(np.mean([a.qd_score for a in archives])),
        float(np.mean([a.coverage for a in archives])),
        float(np.mean(terms)),
        spent,
    ]


def shown(values: NDArray[np.float64]) -> str:
    """Mean and 95 % interval by Student's t."""
    half = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return f"{values.mean():.3f} ± {half:.3f}"


def main() -> None:
    """Print a row for each pool, and how far each is from a seed for each mutation."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--children", type=int, default=1200)
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    args = parser.parse_args()
    print(f"| seeds | {' | '.join(COLUMNS)} |\n| --- |{' ---: |' * len(COLUMNS)}")
    found = {}
    for pool in POOLS:
        found[pool] = np.array([row(seed, args.children, pool) for seed in args.seeds])
        cells = " | ".join(shown(column) for column in found[pool].T)
        print(f"| {pool or 'one for each mutation'} | {cells} |", flush=True)
    for pool in POOLS[1:]:
        gaps = (found[pool] - found[None]).T
        said = ", ".join(f"{COLUMNS[i]} {shown(gaps[i])}" for i in range(3))
        print(f"\n{pool} seeds less one for each mutation: {said}")


if __name__ == "__main__":
    main()
