"""Breed a child: choose two parents, cross them, mutate (paper, sections 3.1 to 3.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.making import Making
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.recipe.evolution import (
    Crossover,
    Evolution,
    GaussianMutation,
    IsoLine,
    Mutation,
    NoMutation,
    SvdMutation,
)
from mergekit_cycleqd.recipe.founders import Fit
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import TaskArchive
from mergekit_cycleqd.search.candidate import quality_task
from mergekit_cycleqd.search.measures import Measures
from mergekit_cycleqd.search.parents import Parents
from mergekit_cycleqd.search.screening import most_promising

_POOL = 2**40  # no candidate has this number
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
    under_way: Sequence[Genome] = (),
) -> tuple[str, Genome, tuple[int, ...], Making | None]:
    """Breed one child. The result depends on the arguments alone.

    Args:
        recipe: The run.
        archives: The archive of each task, none of them empty.
        index: Number of the candidate, M or more with M experts.
        fitted: The founders whose weights were fitted.
        under_way: The children before it that the archives do not know of yet.

    Returns:
        The quality task, the child, and the numbers of its parents: all experts for a founder,
        two candidates for other children. Last comes how it was made; None for a founder.
    """
    evolution, experts = recipe.evolution, len(recipe.experts)
    task = quality_task(recipe, index)
    child = index - experts
    if child < len(recipe.founders):
        family, weight = recipe.founders[child]
        alike = None if isinstance(weight, Fit) else Genome(family, (weight,) * experts)
        return task, alike or fitted[family], tuple(range(experts)), None
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([evolution.seed, index])))
    archive, own = archives[task], recipe.experts_of(task)
    sampling = evolution.sampling
    parents = archive.computed(
        f"parents, {sampling.kind} {sampling.low} {sampling.high}",
        lambda: Parents(archive.elites, recipe.task_names, sampling, archive.worth),
    )
    proposals = [_propose(recipe, parents, own, rng) for _ in range(evolution.screen)]
    chosen = 0
    if len(proposals) > 1:
        genomes = [genome for genome, _, _ in proposals]
        all_round = child % ALL_ROUND == ALL_ROUND - 1
        known = Measures(recipe)
        chosen = most_promising(
            genomes,
            archives,
            list(map(known.of_genome, genomes)),
            all_round=all_round,
            under_way=under_way,
            their_measures=list(map(known.of_genome, under_way)),
        )
    return task, *proposals[chosen]


def _propose(
    recipe: Recipe, parents: Parents, own: tuple[int, ...], rng: np.random.Generator
) -> tuple[Genome, tuple[int, int], Making]:
    evolution = recipe.evolution
    first, second = parents.draw(rng)
    if isinstance(evolution.crossover, IsoLine):
        mix, shift = _iso_line(len(first.genome.weights), evolution.crossover, rng)
    else:
        mix, shift = _crossover(evolution.crossover, rng), ()
    seed = _seed(evolution, rng)
    making = _mutated(Making(mix, shift), evolution.mutation, own, seed, rng)
    return making.make((first.genome, second.genome)), (first.index, second.index), making


def _seed(evolution: Evolution, rng: np.random.Generator) -> int:
    """Draw the seed of a mutation: any, or one of the pool."""
    seed = int(rng.integers(2**32))
    pool = evolution.mutation.seeds if isinstance(evolution.mutation, SvdMutation) else None
    return seed if pool is None else seed_pool(evolution.seed, pool)[seed % pool]


@lru_cache
def seed_pool(seed: int, size: int) -> tuple[int, ...]:
    """The seeds that mutations of a run draw from. A smaller pool is the start of a larger one.

    Args:
        seed: The run's seed.
        size: Number of seeds.
    """
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([seed, _POOL])))
    return tuple(int(drawn) for drawn in rng.integers(2**32, size=size))


def _crossover(drawn: Crossover, rng: np.random.Generator) -> tuple[float, float]:
    """Coefficients ``a`` and ``1 - a`` with ``a = w1 / (w1 + w2)`` (section 3.2)."""
    while True:
        w1, w2 = (float(w) for w in rng.normal(drawn.mean, drawn.std, size=2))
        if w1 + w2 != 0:
            a = w1 / (w1 + w2)
            return a, 1 - a


def _iso_line(
    experts: int, drawn: IsoLine, rng: np.random.Generator
) -> tuple[tuple[float, float], tuple[float, ...]]:
    """Coefficients of the parents, and what is added to the weights."""
    way = float(rng.normal(0.0, drawn.line))
    aside = rng.normal(0.0, drawn.iso, size=experts)
    return (1.0 - way, way), tuple(aside.tolist())


def _mutated(
    making: Making, mutation: Mutation, own: tuple[int, ...], seed: int, rng: np.random.Generator
) -> Making:
    """Mutate as the recipe says; `own` are the experts of the quality task, of which one is drawn.

    With one expert nothing is drawn, so that such runs breed the same children as ever.
    """
    if isinstance(mutation, GaussianMutation):
        return replace(making, term=Term(None, seed, mutation.std))
    if isinstance(mutation, NoMutation):
        return making
    if mutation.basis == "child":
        return replace(making, own=(seed, mutation.max_scale))
    expert = own[0] if len(own) == 1 else own[int(rng.integers(len(own)))]
    return replace(making, term=Term(expert, seed, mutation.max_scale))
