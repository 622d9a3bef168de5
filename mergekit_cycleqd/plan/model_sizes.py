"""Add up what a family of models needs in memory and on disk, from its tensors' headers."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, TensorHeader
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.merging.task_vectors import count_directions, count_kept_numbers
from mergekit_cycleqd.recipe.recipe import Recipe

_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}


_ENGINE = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Sizes:
    """Bytes that an engine holds, without those of its forward passes.

    Attributes:
        model: The resident model, in the engine's dtype.
        base: The base, as it is stored.
        experts: The experts, as they are stored, without tensors known to equal the base's.
        directions: The leading singular directions of all task vectors, with their images, and the
            task vectors of other kinds than plain.
        on_disk: The singular directions of all task vectors in the cache, on disk.
        largest: Temporary memory for the largest matrix, while it is decomposed or transformed.
    """

    model: int
    base: int
    experts: int
    directions: int
    on_disk: int
    largest: int

    @property
    def together(self) -> int:
        """Bytes in memory once every expert was mutated."""
        return self.model + self.base + self.experts + self.directions


def family_sizes(
    recipe: Recipe,
    base: Checkpoint,
    experts: Mapping[str, Checkpoint],
    changed: Mapping[str, Collection[str]] | None = None,
) -> Sizes:
    """Add up the tensors of a family.

    Args:
        recipe: The run.
        base: The base model; only its headers are read.
        experts: The experts, by key; only their headers are read.
        changed: Names of the tensors in which an expert differs from the base, by key; None if
            unknown, which counts all tensors.
    """
    width = _ENGINE.get(recipe.engine.dtype)
    model = sum(math.prod(h.shape) * (width or _width(h)) for h in base.headers.values())
    stored = sum(math.prod(h.shape) * _width(h) for h in base.headers.values())
    experts_stored = directions = on_disk = largest = 0
    for key, expert in experts.items():
        tensors = expert.changed_shapes() if isinstance(expert, LoRAExpert) else expert.headers
        for name in tensors:
            header = base.headers.get(name)
            if header is None or (changed is not None and name not in changed.get(key, ())):
                continue
            m, n = header.shape[0] if header.shape else 1, math.prod(header.shape[1:])
            if not isinstance(expert, LoRAExpert):
                experts_stored += m * n * _width(header)
            if len(header.shape) < 2 or isinstance(expert, LoRAExpert):
                continue
            side, wide = min(m, n), (width or _width(header))
            numbers = joined = 0
            for family in recipe.families:
                vectors = family.task_vectors
                left = count_directions(vectors, side)
                lead = min(family.rank or left, left) if recipe.mutates_experts else 0
                made = count_kept_numbers(vectors, m, n)
                numbers += lead * (m + n) + made
                joined = max(joined, len(experts) * made)
            directions += numbers * (2 if wide == 2 else 4)
            if recipe.uses_directions:
                on_disk += directions_size(side)
            largest = max(largest, 8 * (m * n + 4 * side * side + 2 * joined) if numbers else 0)
    return Sizes(model, stored, experts_stored, directions, on_disk, largest)


def largest_gradient(recipe: Recipe, base: Checkpoint) -> int:
    """Bytes of the largest tensor in the engine's dtype.

    Args:
        recipe: The run.
        base: The base model; only its headers are read.
    """
    width = _ENGINE.get(recipe.engine.dtype)
    sizes = (math.prod(h.shape) * (width or _width(h)) for h in base.headers.values())
    return max(sizes, default=0)


def directions_size(side: int) -> int:
    """Bytes in the cache of one matrix's singular directions: float32 vectors, float64 values.

    Args:
        side: The smaller side of the matrix.
    """
    return side * side * 4 + side * 8


def _width(header: TensorHeader) -> int:
    return _BYTES.get(header.dtype, 1)
