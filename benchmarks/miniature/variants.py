"""Searches that breed in other ways than the package does; tried.py says what came of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, TypeVar

import cma
import numpy as np
from family import SKILLS
from parts import PartsScorer
from ribs.archives import DNSArchive
from scoring import SPLITS, Scorer

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import shift
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.breeding import breed
from mergekit_cycleqd.search.candidate import Candidate, quality_task
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.scores import Scores

Bred = tuple[str, Genome, tuple[int, ...]]

GROWTH, SUCCESSES = 1.2, 0.2
POPULATION, NEIGHBOURS = 40, 3  # of Dominated Novelty Search

T = TypeVar("T")


class Variant(CycleQD):
    """The package's search, open to other ways of breeding that learn from what comes of them.

    Attributes:
        scorer: What evaluates its candidates; the one that is told is loaded there.
    """

    def __init__(self, recipe: Recipe, scorer: Scorer) -> None:
        """Start a search."""
        super().__init__(recipe)
        self.scorer = scorer

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
        return breed(self.recipe, self.archives, index)[:3]

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Take in its scores, and what it gained in the archive of its task if it was bred."""


def gained(archive: TaskArchive, scores: Scores) -> float:
    """By how much a score is above the elite of its cell, or above 0 where there is none."""
    floor = archive.entry_threshold
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
        task, genome, parents, _ = breed(wide, self.archives, index)
        less = [0.0] * len(self.tasks)
        less[self.tasks.index(task)] = -self.recipe.evolution.mutation.max_scale
        return task, shift(genome, less), parents


class Adaptive(Variant):
    """The 1/5 success rule."""

    def __init__(self, recipe: Recipe, scorer: Scorer) -> None:
        """Start with the recipe's scales."""
        super().__init__(recipe, scorer)
        self.factor = 1.0

    def bred(self, index: int) -> Bred:
        """A child with the scales that there are now."""
        spread = 1.0 if self.recipe.evolution.mutation.kind == "svd" else self.factor
        return breed(stepping(self.recipe, spread, self.factor), self.archives, index)[:3]

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Larger steps while they succeed."""
        if self.is_bred(candidate.index):
            elites = (e for archive in self.archives.values() for e in archive.elites)
            entered = any(elite.index == candidate.index for elite in elites)
            self.factor *= GROWTH if entered else GROWTH ** (-SUCCESSES / (1 - SUCCESSES))


class Controlled(Variant):
    """CMA-ES over the logarithms of both scales, one for each task."""

    def __init__(self, recipe: Recipe, scorer: Scorer) -> None:
        """Start at the recipe's scales."""
        super().__init__(recipe, scorer)
        seed = recipe.evolution.seed
        options = {"seed": seed + 1, "verbose": -9, "popsize": 6}
        self._strategies = {
            task: cma.CMAEvolutionStrategy([0.0, 0.0], 0.5, options) for task in self.tasks
        }
        self._asked: dict[str, list[Any]] = {task: [] for task in self.tasks}
        self._losses: dict[str, list[float]] = {task: [] for task in self.tasks}

    def bred(self, index: int) -> Bred:
        """A child with scales that the task's CMA-ES asks for."""
        task = quality_task(self.recipe, index)
        asked, losses = self._asked[task], self._losses[task]
        if len(losses) == len(asked):
            if asked:
                self._strategies[task].tell(asked, losses)
            asked[:], losses[:] = self._strategies[task].ask(), []
        spread, scale = np.exp(np.clip(asked[len(losses)], -3.0, 1.5)).tolist()
        return breed(stepping(self.recipe, spread, scale), self.archives, index)[:3]

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Keep what a child gained until the task's generation is whole."""
        if self.is_bred(candidate.index):
            self._losses[candidate.task].append(-gain)


class _Pool:
    """Parents of one task, with its archive's cells."""

    def __init__(self, archive: TaskArchive, elites: Sequence[Elite]) -> None:
        self.elites = elites
        self.ranges, self.bins = archive.ranges, archive.bins
        self.worth, self.entry_threshold = archive.worth, archive.entry_threshold

    def computed(self, _: str, compute: Callable[[], T]) -> T:
        """What is computed of parents that change with every child."""
        return compute()


class DominatedNovelty(Variant):
    """Parents of each task from a population of all models, by Dominated Novelty Search."""

    measure_dim = len(SKILLS) - 1

    def __init__(self, recipe: Recipe, scorer: Scorer) -> None:
        """Start with empty populations."""
        super().__init__(recipe, scorer)
        self._seen: dict[int, Elite] = {}
        self._pools = {
            task: DNSArchive(
                solution_dim=(),
                measure_dim=self.measure_dim,
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
        return breed(self.recipe, pools, index)[:3]

    def learn(self, candidate: Candidate, scores: Scores, gain: float) -> None:
        """Offer it to every population."""
        index = candidate.index
        self._seen[index] = Elite(index, candidate.genome, scores, candidate.parents)
        for task, pool in self._pools.items():
            pool.add_single(index, scores[task], self.novelty(task, scores))

    def novelty(self, task: str, scores: Scores) -> Sequence[float]:
        """(measure_dim,) what makes a model, the one that is loaded, far from others."""
        return [scores[other] for other in self.tasks if other != task]


class DominatedPasses(DominatedNovelty):
    """The same, where models are far from each other that answer other samples right."""

    measure_dim = len(SKILLS) * len(SPLITS["search"])

    def novelty(self, task: str, scores: Scores) -> Sequence[float]:
        """1 for every search sample of all skills that it answers right, and 0 for others."""
        passed = [self.scorer.passes("search", skill) for skill in self.tasks]
        return [float(each) for skill in passed for each in skill.tolist()]


class InParts(Variant):
    """Weights of an expert's own for every part of the network, each with its own steps aside."""

    def _candidate(self, index: int) -> Candidate:
        candidate = super()._candidate(index)
        if self.is_bred(index):
            return candidate
        assert isinstance(self.scorer, PartsScorer)
        return replace(candidate, genome=self.scorer.in_parts(candidate.genome))
