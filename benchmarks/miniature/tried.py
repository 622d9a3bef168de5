"""Ways to breed that the package does not have: what each would add to the search, and to the best.

    pip install "mergekit-cycleqd[benchmarks]"
    python benchmarks/miniature/tried.py [--family uneven] [--children 300] [--seeds 0 1 2 3 4]

Rows that begin with `paper` change the paper's settings and have all children, those that begin
with `best` change `preset: best` and have half of them; models, seeds and scores are those of
table1.py. Populations are judged in archives of the paper's layout.

- draws of mean zero: mutation scales directions by draws from [-w, w) instead of [0, w).
- adaptive scale: mutation's scale (for `best`, the steps along the parents' line and aside of it)
  grows by a fifth with a child that enters an archive, and shrinks so with others that it stays
  where one of five does (the 1/5 success rule of evolution strategies).
- controlled by CMA-ES: one CMA-ES per task (pycma) proposes the spread of crossover's weights and
  mutation's scale (for `best`, both steps) of each child, for what the child gains in its archive.
- parents by dominated novelty: chosen from the 40 models that Dominated Novelty Search keeps of all
  (arXiv:2502.00593; ribs) in the place of an archive's elites.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cma
import numpy as np
import torch
from ablation import COLUMNS, COMPARED, row
from family import SKILLS, models
from figure import draw
from ribs.archives import DNSArchive
from saved import Rows
from scoring import Scorer
from searches import cycleqd, recipe
from tables import arguments, over_seeds, paired, table

from mergekit_cycleqd.archive import Elite, TaskArchive
from mergekit_cycleqd.breeding import breed
from mergekit_cycleqd.floors import Floor
from mergekit_cycleqd.genome import Genome, shift
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.repeats import turn
from mergekit_cycleqd.search import Candidate, CycleQD, Scores

Bred = tuple[str, Genome, tuple[int, ...]]

GROWTH, SUCCESSES = 1.2, 0.2
POPULATION, NEIGHBOURS = 40, 3  # of Dominated Novelty Search


class Variant(CycleQD):
    """A search that breeds in another way, and may learn from what comes of it."""

    def _candidate(self, index: int) -> Candidate:
        if not self.is_bred(index):
            return super()._candidate(index)
        return Candidate(index, *self.bred(index))

    def is_bred(self, index: int) -> bool:
        """Whether a candidate comes of two parents: experts and founders do not."""
        return index >= len(self.tasks) + len(self.recipe.founders)

    def tell(self, candidate: Candidate, scores: Scores | None) -> None:
        """Say what came of a candidate, and learn from it."""
        assert scores is not None
        gain = (
            gained(self.archives[candidate.task], scores) if self.is_bred(candidate.index) else 0.0
        )
        super().tell(candidate, scores)
        self.learn(candidate, scores, gain)

    def bred(self, index: int) -> Bred:
        """Task, genome and parents of a child."""
        return breed(self.recipe, self.archives, index)

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Take in its scores, and what it gained in the archive of its task if it was bred."""


def gained(archive: TaskArchive, scores: Scores) -> float:
    """By how much a score is above the elite of its cell, or above 0 where there is none."""
    floor = archive.floor
    held = floor.qualities[archive.cell_of(Elite(-1, None, scores, ()))]  # type: ignore[arg-type]
    return max(0.0, scores[archive.task] - max(held, 0.0))


def stepping(recipe: Recipe, spread: float, scale: float) -> Recipe:
    """The recipe with the spread of its crossover and its mutation's scale multiplied.

    Where there is no mutation, with steps along the parents' line and aside of it.
    """
    evolution = recipe.evolution
    crossover, mutation = evolution.crossover, evolution.mutation
    if mutation.kind == "svd":
        crossover = crossover.model_copy(update={"std": crossover.std * spread})
        mutation = mutation.model_copy(update={"max_scale": mutation.max_scale * scale})
    else:
        steps = {"line": crossover.line * spread, "iso": crossover.iso * scale}
        crossover = crossover.model_copy(update=steps)
    changed = evolution.model_copy(update={"crossover": crossover, "mutation": mutation})
    return recipe.model_copy(update={"evolution": changed})


class MeanZero(Variant):
    """w(2u - 1) is a term of scale 2w and a weight less w."""

    def bred(self, index: int) -> Bred:
        """A child that mutation makes neither larger nor smaller on average."""
        wide = stepping(self.recipe, 1.0, 2.0)
        task, genome, parents = breed(wide, self.archives, index)
        less = [0.0] * len(self.tasks)
        less[self.tasks.index(task)] = -self.recipe.evolution.mutation.max_scale
        return task, shift(genome, less), parents


class Adaptive(Variant):
    """The 1/5 success rule."""

    def __init__(self, recipe: Recipe) -> None:
        """Start with the recipe's scales."""
        super().__init__(recipe)
        self.factor = 1.0

    def bred(self, index: int) -> Bred:
        """A child with the scales that there are now."""
        spread = 1.0 if self.recipe.evolution.mutation.kind == "svd" else self.factor
        return breed(stepping(self.recipe, spread, self.factor), self.archives, index)

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Larger steps while they succeed."""
        if self.is_bred(candidate.index):
            elites = (e for archive in self.archives.values() for e in archive.elites)
            entered = any(elite.index == candidate.index for elite in elites)
            self.factor *= GROWTH if entered else GROWTH ** (-SUCCESSES / (1 - SUCCESSES))


class Controlled(Variant):
    """CMA-ES over the logarithms of both scales, one for each task."""

    def __init__(self, recipe: Recipe) -> None:
        """Start at the recipe's scales."""
        super().__init__(recipe)
        seed = recipe.evolution.seed
        options = {"seed": seed + 1, "verbose": -9, "popsize": 6}
        self._strategies = {
            task: cma.CMAEvolutionStrategy([0.0, 0.0], 0.5, options) for task in self.tasks
        }
        self._asked: dict[str, list[Any]] = {task: [] for task in self.tasks}
        self._losses: dict[str, list[float]] = {task: [] for task in self.tasks}

    def bred(self, index: int) -> Bred:
        """A child with scales that the task's CMA-ES asks for."""
        task = turn(self.recipe, index)
        asked, losses = self._asked[task], self._losses[task]
        if len(losses) == len(asked):
            if asked:
                self._strategies[task].tell(asked, losses)
            asked[:], losses[:] = self._strategies[task].ask(), []
        spread, scale = np.exp(np.clip(asked[len(losses)], -3.0, 1.5)).tolist()
        return breed(stepping(self.recipe, spread, scale), self.archives, index)

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Keep what a child gained until the task's generation is whole."""
        if self.is_bred(candidate.index):
            self._losses[candidate.task].append(-gain)


class _Pool:
    """Parents of one task, with its archive's cells."""

    def __init__(self, archive: TaskArchive, elites: Sequence[Elite]) -> None:
        self.elites = elites
        self.ranges, self.bins = archive.ranges, archive.bins
        self.floor: Floor = archive.floor


class DominatedNovelty(Variant):
    """Parents of each task from a population of all models, by Dominated Novelty Search."""

    def __init__(self, recipe: Recipe) -> None:
        """Start with empty populations."""
        super().__init__(recipe)
        self._seen: dict[int, Elite] = {}
        self._pools = {
            task: DNSArchive(
                solution_dim=(),
                measure_dim=len(self.tasks) - 1,
                capacity=POPULATION,
                k_neighbors=NEIGHBOURS,
                solution_dtype=np.int64,
            )
            for task in self.tasks
        }

    def bred(self, index: int) -> Bred:
        """A child of models that are good, or far from those that are better."""
        pools: Any = {
            each: _Pool(self.archives[each], [self._seen[i] for i in pool.data("solution").ravel()])
            for each, pool in self._pools.items()
        }
        return breed(self.recipe, pools, index)

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Offer it to every population."""
        index = candidate.index
        self._seen[index] = Elite(index, candidate.genome, scores, candidate.parents)
        for task, pool in self._pools.items():
            others = [scores[other] for other in self.tasks if other != task]
            pool.add_single(index, scores[task], others)


TRIED: dict[str, tuple[str, type[CycleQD]]] = {
    "paper": ("paper", CycleQD),
    "paper, draws of mean zero": ("paper", MeanZero),
    "paper, adaptive scale": ("paper", Adaptive),
    "paper, controlled by CMA-ES": ("paper", Controlled),
    "paper, parents by dominated novelty": ("paper", DominatedNovelty),
    "best": ("best", CycleQD),
    "best, adaptive scale": ("best", Adaptive),
    "best, controlled by CMA-ES": ("best", Controlled),
    "best, parents by dominated novelty": ("best", DominatedNovelty),
}


def rows_of(seed: int, children: int, family: str, chosen: list[str]) -> Rows:
    """All searches of one seed."""
    torch.set_num_threads(1)
    scorer = Scorer(models(seed, family))
    rows: Rows = {}
    for name in chosen:
        preset, kind = TRIED[name]
        evaluations = children if preset == "paper" else children // 2
        run = recipe(scorer, seed, {"preset": preset, "children": evaluations - len(SKILLS)})
        rows[name] = row(scorer, cycleqd(scorer, run, kind))
    return rows


def main() -> None:
    """Print the table, and each row against the preset that it changes."""
    parser = arguments(__doc__)
    parser.add_argument("--family", choices=["gentle", "uneven"], default="gentle")
    parser.add_argument("--only", nargs="+", default=list(TRIED), choices=TRIED, metavar="ROW")
    args = parser.parse_args()
    results = over_seeds(rows_of, args, args.family, args.only)
    print(table(results, COLUMNS), end="\n\n")
    if args.figure:
        draw(results, COMPARED, args.figure)
    for name in results[0]:
        preset = TRIED[name][0]
        if name != preset and preset in results[0]:
            for column in COMPARED:
                print(paired(results, name, preset, column))


if __name__ == "__main__":
    main()
