"""Open the workers that a recipe names."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.workers.in_process import InProcess
from mergekit_cycleqd.workers.pool import Pool
from mergekit_cycleqd.workers.worker import Evaluator


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
    if recipe.workers.kind == "local" and recipe.workers.count == 1:
        return InProcess(Evaluator(recipe, base, experts, harness))
    from mergekit_cycleqd.workers.crew import Crew

    if recipe.workers.kind == "local":
        from mergekit_cycleqd.workers.processes import LocalProcesses

        return Crew(recipe.family, LocalProcesses(recipe), say)
    from mergekit_cycleqd.workers.ray_cluster import RayCluster

    return Crew(recipe.family, RayCluster(recipe), say)
