"""Open the workers that a recipe names: a row per kind, imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.workers.crew import Crew, Fleet
from mergekit_cycleqd.workers.in_process import InProcess
from mergekit_cycleqd.workers.pool import Pool
from mergekit_cycleqd.workers.worker import Evaluator


def _local(recipe: Recipe) -> Fleet:
    from mergekit_cycleqd.workers.processes import LocalProcesses

    return LocalProcesses(recipe)


def _ray(recipe: Recipe) -> Fleet:
    from mergekit_cycleqd.workers.ray_cluster import RayCluster

    return RayCluster(recipe)


OPENERS: Mapping[str, Callable[[Recipe], Fleet]] = {"local": _local, "ray": _ray}
"""What starts the workers of a kind, outside this process."""


def alone(recipe: Recipe) -> bool:
    """Whether this process is a run's only worker."""
    return recipe.workers.cluster is None and recipe.workers.count == 1


def open_pool(
    recipe: Recipe,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    harness: Harness,
    say: Callable[[str], None],
    evaluator: Evaluator | None = None,
) -> Pool:
    """Open a run's workers; one local worker is this process.

    Args:
        recipe: The run.
        base: The base model.
        experts: The experts, in the order of a genome's weights.
        harness: The run's tasks.
        say: Gets a line when a worker is lost or comes back.
        evaluator: One of this process that has its models loaded.

    Raises:
        WorkerError: If none can be had.
    """
    if alone(recipe):
        return InProcess(evaluator or Evaluator(recipe, base, experts, harness))
    return Crew(recipe.family, OPENERS[recipe.workers.kind](recipe), say)
