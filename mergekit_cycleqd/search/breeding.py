"""Breed a child: choose two parents, cross them, mutate (paper, sections 3.1 to 3.3)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import combine, crossover, mutate, mutate_own, shift
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.recipe.evolution import (
    Crossover,
    GaussianMutation,
    IsoLine,
    Mutation,
    NoMutation,
)
from mergekit_cycleqd.recipe.founders import Fit
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import TaskArchive
from mergekit_cycleqd.search.candidate import quality_task
from mergekit_cycleqd.search.measures import Measures
from mergekit_cycleqd.search.parents import choose_parents
from mergekit_cycleqd.search.screening import most_promising

ALL_ROUND = 20  # one in so many screened children is chosen for its mean over the tasks


def fitted_founder(recipe: Recipe, index: int) -> Family | None:
    """Give what a candidate's weights are fitted for; None if they are not fitted.

    Args:
        recipe: The run.
        index: Number of the candidate.
    """
    child = index - len(recipe.experts)
    if not 0 <= child < len(recipe.founders):
        return None
    family, founder = recipe.founders[child]
    return family if isinstance(founder, Fit) else None


def breed(
    recipe: Recipe,
    archives: Mapping[str, TaskArchive],
    index: int,
    fitted: Mapping[Family, Genome] = MappingProxyType({}),
) -> tuple[str, Genome, tuple[int, ...]]:
    """Breed one child. The result depends on the arguments alone.

    Args:
        recipe: The run.
        archives: The archive of each task, none of them empty.
        index: Number of the candidate, M or more with M experts.
        fitted: The founders whose weights were fitted.

    Returns:
        The quality task, the child, and the numbers of its parents: all experts for a founder,
        two candidates for other children.
    """
    evolution, experts = recipe.evolution, len(recipe.experts)
    task = quality_task(recipe, index)
    child = index - experts
    if child < len(recipe.founders):
        family, weight = recipe.founders[child]
        alike = None if isinstance(weight, Fit) else Genome(family, (weight,) * experts)
        return task, alike or fitted[family], tuple(range(experts))
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([evolution.seed, index])))
    archive, own = archives[task], recipe.experts_of(task)
    proposals = [_propose(recipe, archive, own, rng) for _ in range(evolution.screen)]
    chosen = 0
    if len(proposals) > 1:
        genomes = [genome for genome, _ in proposals]
        all_round = child % ALL_ROUND == ALL_ROUND - 1
        known = Measures(recipe)
        weights = [known.of_genome(genome) for genome in genomes]
        chosen = most_promising(genomes, archives, weights, all_round=all_round)
    return task, *proposals[chosen]


def _propose(
    recipe: Recipe, archive: TaskArchive, own: tuple[int, ...], rng: np.random.Generator
) -> tuple[Genome, tuple[int, int]]:
    evolution = recipe.evolution
    first, second = choose_parents(
        archive.elites, recipe.task_names, evolution.sampling, rng, archive.worth
    )
    family, other = first.genome.family, second.genome
    if other.family != family:  # a child has its first parent's kind of task vectors
        other = replace(other, family=family)
    if isinstance(evolution.crossover, IsoLine):
        genome = _iso_line_child(first.genome, other, evolution.crossover, rng)
    else:
        genome = _crossover_child(first.genome, other, evolution.crossover, rng)
    seed = int(rng.integers(2**32))
    genome = _mutate(genome, evolution.mutation, own, seed, rng)
    return genome, (first.index, second.index)


def _crossover_child(
    first: Genome, second: Genome, drawn: Crossover, rng: np.random.Generator
) -> Genome:
    while True:
        w1, w2 = (float(w) for w in rng.normal(drawn.mean, drawn.std, size=2))
        if w1 + w2 != 0:
            return crossover(first, second, w1, w2)


def _iso_line_child(
    first: Genome, second: Genome, drawn: IsoLine, rng: np.random.Generator
) -> Genome:
    way = float(rng.normal(0.0, drawn.line))
    aside = rng.normal(0.0, drawn.iso, size=len(first.weights))
    return shift(combine((first, second), (1.0 - way, way)), aside.tolist())


def _mutate(
    genome: Genome, mutation: Mutation, own: tuple[int, ...], seed: int, rng: np.random.Generator
) -> Genome:
    """Mutate as the recipe says; `own` are the experts of the quality task, of which one is drawn.

    With one expert nothing is drawn, so that such runs breed the same children as ever.
    """
    if isinstance(mutation, GaussianMutation):
        return mutate(genome, Term(None, seed, mutation.std))
    if isinstance(mutation, NoMutation):
        return genome
    if mutation.basis == "child":
        return mutate_own(genome, seed, mutation.max_scale)
    expert = own[0] if len(own) == 1 else own[int(rng.integers(len(own)))]
    return mutate(genome, Term(expert, seed, mutation.max_scale))
