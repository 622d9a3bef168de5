"""How a child comes of an archive: two parents, crossover, mutation (sections 3.1 to 3.3)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mergekit_cycleqd.archive import TaskArchive
from mergekit_cycleqd.genome import Genome, Term, crossover, mutate, mutate_own
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.recipe_evolution import Crossover, GaussianMutation, Mutation, NoMutation
from mergekit_cycleqd.sampling import choose_parents


def breed(
    recipe: Recipe, archives: Mapping[str, TaskArchive], index: int
) -> tuple[str, Genome, tuple[int, int]]:
    """Breed one child; a function of its arguments alone.

    Args:
        recipe: The run.
        archives: The archive of each task, none of them empty.
        index: Number of the candidate, K or more.

    Returns:
        The task whose turn as quality it is, the child, and the numbers of its parents.
    """
    evolution, tasks = recipe.evolution, recipe.task_names
    task = evolution.quality
    if task == "cyclic":
        task = tasks[(index - len(tasks)) // evolution.cycle % len(tasks)]
    rng = np.random.Generator(np.random.Philox(np.random.SeedSequence([evolution.seed, index])))
    first, second = choose_parents(archives[task].elites, tasks, evolution.sampling, rng)
    genome = _cross(first.genome, second.genome, evolution.crossover, rng)
    seed = int(rng.integers(2**32))
    genome = _mutate(genome, evolution.mutation, tasks.index(task), seed)
    return task, genome, (first.index, second.index)


def _cross(first: Genome, second: Genome, drawn: Crossover, rng: np.random.Generator) -> Genome:
    while True:
        w1, w2 = (float(w) for w in rng.normal(drawn.mean, drawn.std, size=2))
        if w1 + w2 != 0:
            return crossover(first, second, w1, w2)


def _mutate(genome: Genome, mutation: Mutation, expert: int, seed: int) -> Genome:
    """Mutate by the directions of the quality task's expert, or as the recipe says."""
    if isinstance(mutation, GaussianMutation):
        return mutate(genome, Term(None, seed, mutation.std))
    if isinstance(mutation, NoMutation):
        return genome
    if mutation.basis == "child":
        return mutate_own(genome, seed, mutation.max_scale)
    return mutate(genome, Term(expert, seed, mutation.max_scale))
