"""Open the workers that a recipe names: a row per kind, imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.workers.in_process import InProcess
from mergekit_cycleqd.workers.pool import Pool
from mergekit_cycleqd.workers.worker import Evaluator

Opener = Callable[[Recipe, Checkpoint, Sequence[Checkpoint], Harness, Callable[[str], None]], Pool]
"""Opens workers; the arguments are those of `open_pool`."""


def _local(
    recipe: Recipe,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    harness: Harness,
    say: Callable[[str], None],
) -> Pool:
    if recipe.workers.count == 1:
        return InProcess(Evaluator(recipe, base, experts, harness))
    from mergekit_cycleqd.workers.crew import Crew
    from mergekit_cycleqd.workers.processes import LocalProcesses

    return Crew(recipe.family, LocalProcesses(recipe), say)


def _ray(
    recipe: Recipe,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    harness: Harness,
    say: Callable[[str], None],
) -> Pool:
    from mergekit_cycleqd.workers.crew import Crew
    from mergekit_cycleqd.workers.ray_cluster import RayCluster

    return Crew(recipe.family, RayCluster(recipe), say)


OPENERS: Mapping[str, Opener] = {"local": _local, "ray": _ray}


def open_pool(
    recipe: Recipe,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    harness: Harness,
    say: Callable[[str], None],
) -> Pool:
    """Open a run's workers.

    Args:
        recipe: The run.
        base: The base model.
        experts: The experts, in the order of a genome's weights.
        harness: The run's tasks.
        say: Gets a line when a worker is lost or comes back.

    Raises:
        WorkerError: If none can be had.
    """
    return OPENERS[recipe.workers.kind](recipe, base, experts, harness, say)
