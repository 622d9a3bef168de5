"""Compute the singular directions of a run's experts before its first evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from rich.console import Console
from rich.progress import Progress

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import FamilyTensors
from mergekit_cycleqd.engines.device import device_of
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.recipe.recipe import Recipe


def compute_directions_ahead(
    recipe: Recipe,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    console: Console,
    say: Callable[[str], None],
) -> None:
    """Compute the singular directions that a run needs and the cache lacks, with a progress bar.

    The workers then find them in the cache, instead of each computing them between evaluations.
    Nothing is done if the workers have caches of their own, or GPUs that this process must not use.

    Args:
        recipe: The run.
        base: The base model.
        experts: The experts, in the order of a genome's weights.
        console: Console that shows the progress, if it is a terminal.
        say: Prints a line that stays.

    Raises:
        ModelError: If a tensor is missing, or has NaN or infinite values.
    """
    device = device_of(recipe.engine)
    alone = recipe.workers.count == 1 and not recipe.engine.merges_in_workers
    here = recipe.workers.cluster is None and (device.type == "cpu" or alone)
    if not recipe.uses_directions or not here:
        return
    cache = DirectionCache.default()
    reading = FamilyTensors(base, experts, recipe.engine.trust_remote_code)
    said = False
    with Progress(console=console, disable=not console.is_terminal, transient=True) as bar:
        total = len(experts) * len(reading.matrices)
        task = bar.add_task("singular directions", total=total)
        for _, task_vector in reading.task_matrices(device, lambda: bar.advance(task)):
            if isinstance(task_vector, LowRank) or (file := cache.path(task_vector)).exists():
                continue
            if not said:
                say(f"making the experts' singular directions, once; kept in {cache.folder}")
                said = True
            cache.directions(task_vector, path=file)
            if not file.exists():  # the disk is full: workers compute them when needed
                return
    if device.type == "cuda":
        torch.cuda.empty_cache()
