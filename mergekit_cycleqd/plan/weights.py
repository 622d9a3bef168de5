"""Every weight of base and experts read once: whether it is a number, and what is in the cache."""

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
from mergekit_cycleqd.plan.model_sizes import basis_size

_PROBE = 1024  # smaller side of the largest matrix that is decomposed to measure the rate


@dataclass
class Weights:
    """What a reading of all weights found.

    Attributes:
        faults: A line for each model with something that is no number, or that lacks a tensor.
        changed: By expert's key, the tensors in which it is not the base.
        lacking: Shapes of task vectors whose basis is not in the cache, with their number.
        cached: How many bases are there.
        seconds: Wall time of the reading.
    """

    faults: list[str] = field(default_factory=list)
    changed: dict[str, set[str]] = field(default_factory=dict)
    lacking: Counter[tuple[int, int]] = field(default_factory=Counter)
    cached: int = 0
    seconds: float = 0.0

    @property
    def lacking_bytes(self) -> int:
        """What the lacking bases will take in the cache."""
        return sum(count * basis_size(min(shape)) for shape, count in self.lacking.items())


def read_weights(
    family: FamilyTensors,
    experts: Mapping[str, Checkpoint],
    cache: DirectionCache,
    step: Callable[[], None] = lambda: None,
) -> Weights:
    """Read all weights, a tensor of base and experts at a time.

    Args:
        family: Base and experts.
        experts: The experts by key, in the family's order.
        cache: Where bases are looked for.
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
            _keep(BASE, error, found, broken)
            continue
        for k, key in enumerate(experts):
            try:
                tau = family.task_vector(k, name, base)
            except ModelError as error:
                _keep(key, error, found, broken)
                continue
            if tau is not None:
                found.changed[key].add(name)
                if name in matrices:
                    _look_up(tau, cache, found)
        step()
    found.seconds = time.monotonic() - start
    return found


def _keep(key: str, error: ModelError, found: Weights, broken: set[str]) -> None:
    """One line per model: the first tensor stands for the others."""
    if key not in broken:
        broken.add(key)
        found.faults.append(f"{key}: {error}")


def _look_up(tau: Tensor | LowRank, cache: DirectionCache, found: Weights) -> None:
    if isinstance(tau, LowRank):
        return
    matrix = as_matrix(tau)
    if cache.path(matrix).exists():
        found.cached += 1
    else:
        m, n = matrix.shape
        found.lacking[m, n] += 1


def factorizing_seconds(lacking: Mapping[tuple[int, int], int], device: torch.device) -> float:
    """About how long it takes to make bases, from one decomposition of each shape.

    Shapes whose smaller side is above `_PROBE` are shrunk to that, and the time grows with the
    cube of the factor: so do the Gram matrix and its eigenvectors.
    """
    total = 0.0
    for (m, n), count in lacking.items():
        scale = max(1.0, min(m, n) / _PROBE)
        probe = torch.randn(max(1, round(m / scale)), max(1, round(n / scale)), device=device)
        directions(probe)  # the first of a shape may load kernels
        start = time.monotonic()
        directions(probe)  # its values come to the CPU, so that it ends when it is done
        total += count * (time.monotonic() - start) * scale**3
    return total
