"""Read all weights of base and experts once: are they finite, and which directions are cached?"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import FamilyTensors
from mergekit_cycleqd.checkpoints.recipe_models import BASE
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import as_matrix, directions
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.plan.model_sizes import directions_size

_PROBE = 1024  # smaller side of the largest matrix that is decomposed to measure the rate


@dataclass
class Weights:
    """The result of reading all weights.

    Attributes:
        faults: A line for each model with a value that is not finite, or without a tensor.
        changed: Names of the tensors in which an expert differs from the base, by expert's key.
        lacking: Number of matrices whose singular directions are not in the cache, by shape.
        cached: Number of matrices whose singular directions are in the cache.
        seconds: Wall time of the reading, in seconds.
    """

    faults: list[str] = field(default_factory=list)
    changed: dict[str, set[str]] = field(default_factory=dict)
    lacking: Counter[tuple[int, int]] = field(default_factory=Counter)
    cached: int = 0
    seconds: float = 0.0

    @property
    def lacking_bytes(self) -> int:
        """Bytes that the missing singular directions will take in the cache."""
        return sum(count * directions_size(min(shape)) for shape, count in self.lacking.items())


def read_weights(
    family: FamilyTensors,
    experts: Mapping[str, Checkpoint],
    cache: DirectionCache,
    step: Callable[[], None] = lambda: None,
) -> Weights:
    """Read all weights, one tensor of base and experts at a time.

    Args:
        family: Base and experts.
        experts: The experts by key, in the family's order.
        cache: The cache of singular directions.
        step: Called after each tensor.
    """
    start = time.monotonic()
    found = Weights(changed={key: set() for key in experts})
    broken: set[str] = set()
    matrices = set(family.matrices)
    for name in family.names:
        try:
            base = family.base(name)
        except ModelError as error:
            _keep_fault(BASE, error, found, broken)
            continue
        for k, key in enumerate(experts):
            try:
                task_vector = family.task_vector(k, name, base)
            except ModelError as error:
                _keep_fault(key, error, found, broken)
                continue
            if task_vector is not None:
                found.changed[key].add(name)
                if name in matrices:
                    _look_up(task_vector, cache, found)
        step()
    found.seconds = time.monotonic() - start
    return found


def _keep_fault(key: str, error: ModelError, found: Weights, broken: set[str]) -> None:
    """Keep one fault per model, that of its first faulty tensor."""
    if key not in broken:
        broken.add(key)
        found.faults.append(f"{key}: {error}")


def _look_up(task_vector: Tensor | LowRank, cache: DirectionCache, found: Weights) -> None:
    if isinstance(task_vector, LowRank):
        return
    matrix = as_matrix(task_vector)
    if cache.path(matrix).exists():
        found.cached += 1
    else:
        m, n = matrix.shape
        found.lacking[m, n] += 1


def factorizing_seconds(lacking: Mapping[tuple[int, int], int], device: torch.device) -> float:
    """Estimate the seconds to compute singular directions, from one decomposition per shape.

    A shape whose smaller side is above `_PROBE` is shrunk to that size. Its time is multiplied by
    the cube of the factor, since the Gram matrix and its eigenvectors grow so.

    Args:
        lacking: Number of matrices to decompose, by shape.
        device: Device to compute on.
    """
    total = 0.0
    for (m, n), count in lacking.items():
        scale = max(1.0, min(m, n) / _PROBE)
        probe = torch.randn(max(1, round(m / scale)), max(1, round(n / scale)), device=device)
        directions(probe)  # not timed: the first of a shape may load kernels
        start = time.monotonic()
        directions(probe)  # returns when done, since its values are copied to the CPU
        total += count * (time.monotonic() - start) * scale**3
    return total
