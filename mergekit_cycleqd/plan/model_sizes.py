"""What a family of models takes in memory and on disk, from the headers of its tensors."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, TensorHeader
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.merging.task_vectors import count_directions
from mergekit_cycleqd.recipe.recipe import Recipe

_BYTES = {"F64": 8, "I64": 8, "F32": 4, "I32": 4, "F16": 2, "BF16": 2, "I16": 2}


_ENGINE = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Sizes:
    """Bytes that an engine holds, besides what its forward passes need.

    Attributes:
        model: The resident model, in the engine's dtype.
        base: The base beside it, as it is stored.
        experts: The experts likewise, without tensors that are known to be the base's.
        directions: The leading directions of all task vectors, with their images, and task
            singular vectors.
        factors: The bases of all task vectors on disk.
        largest: What the decomposition of the largest matrix needs while it lasts.
    """

    model: int
    base: int
    experts: int
    directions: int
    factors: int
    largest: int

    @property
    def together(self) -> int:
        """In memory, when every expert was mutated once."""
        return self.model + self.base + self.experts + self.directions


def sizes(
    recipe: Recipe,
    base: Checkpoint,
    experts: Mapping[str, Checkpoint],
    changed: Mapping[str, Collection[str]] | None = None,
) -> Sizes:
    """Add up the tensors of a family.

    Args:
        recipe: The run.
        base: The base model; its headers suffice.
        experts: By key, likewise.
        changed: By key, the tensors in which an expert is not the base; all where it is unknown.
    """
    width = _ENGINE.get(recipe.engine.dtype)
    model = sum(math.prod(h.shape) * (width or _width(h)) for h in base.headers.values())
    stored = sum(math.prod(h.shape) * _width(h) for h in base.headers.values())
    experts_stored = directions = factors = largest = 0
    mutates, based = recipe.mutates_experts, recipe.uses_directions
    families, vectors = recipe.families, recipe.task_vectors
    for key, expert in experts.items():
        own = expert.changed_shapes() if isinstance(expert, LoRAExpert) else expert.headers
        for name in own:
            header = base.headers.get(name)
            if header is None or (changed is not None and name not in changed.get(key, ())):
                continue
            m, n = header.shape[0] if header.shape else 1, math.prod(header.shape[1:])
            if not isinstance(expert, LoRAExpert):
                experts_stored += m * n * _width(header)
            if not based or len(header.shape) < 2 or isinstance(expert, LoRAExpert):
                continue
            side, wide = min(m, n), (width or _width(header))
            lead = 0
            for family in families:
                left = count_directions(family.task_vectors, side)
                lead += min(family.rank or left, left) if mutates else 0
                lead += 0 if family.task_vectors == PLAIN else left
            directions += lead * (m + n) * (2 if wide == 2 else 4)
            factors += basis_size(side)
            left = 0 if vectors == PLAIN else count_directions(vectors, side)
            joined = len(experts) * left * (m + n)
            largest = max(largest, 8 * (m * n + 4 * side * side + 2 * joined))
    return Sizes(model, stored, experts_stored, directions, factors, largest)


def basis_size(side: int) -> int:
    """Bytes of one basis in the cache: float32 vectors and float64 values."""
    return side * side * 4 + side * 8


def _width(header: TensorHeader) -> int:
    return _BYTES.get(header.dtype, 1)
