"""The directions of a run's experts, made before its first evaluation, where that can be seen."""

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


def make_ahead(
    recipe: Recipe,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    console: Console,
    say: Callable[[str], None],
) -> None:
    """Make what a run needs of directions and the cache does not have, and say so while it lasts.

    Its workers then find them there, instead of each making them between two evaluations. Nothing
    happens where workers have caches or GPUs of their own that this process must leave alone.

    Args:
        recipe: Of the run.
        base: The base model.
        experts: The experts, in the order of a genome's weights.
        console: Where progress is shown, if it is a terminal.
        say: Takes a line that stays.

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
        for _, tau in reading.task_matrices(device, lambda: bar.advance(task)):
            if isinstance(tau, LowRank) or (file := cache.path(tau)).exists():
                continue
            if not said:
                say(f"making the experts' singular directions, once; kept in {cache.folder}")
                said = True
            cache.directions(tau, path=file)
            if not file.exists():  # a full disk: they are made when they are needed
                return
    if device.type == "cuda":
        torch.cuda.empty_cache()
