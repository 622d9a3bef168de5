"""One merged tensor of a resident model: what is kept of base and experts, and in what form."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import torch
from torch import Tensor

from mergekit_cycleqd.engines.placement import TensorStore
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.merging.dense_task_vector import DenseTaskVector
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.float64 import can_hold
from mergekit_cycleqd.merging.kernel import LeadingDirections, directions_of
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers
from mergekit_cycleqd.merging.task_vector import ExpertTensor, compute_dtype
from mergekit_cycleqd.merging.task_vectors import transform_experts


@dataclass(frozen=True)
class Slot:
    """One merged tensor: those of base and experts, on the device if they fit.

    Attributes:
        name: The tensor's name in `MergeLayout`, which keys the draws.
        dtype: Dtype of the model's tensor.
        device: Device of the merge.
        base: The base's tensor.
        experts: Each expert's tensor, its task vector, or None if it equals the base's.
        directions: Leading singular directions by the expert's index, made at the first mutation.
        anew: Makes the task vectors again as they were before rounding to 16 bits, which would turn
            their singular directions. None if they can be taken as they are kept.
    """

    name: str
    dtype: torch.dtype
    device: torch.device
    base: Tensor
    experts: tuple[ExpertTensor | None, ...]
    directions: dict[int, LeadingDirections] = field(default_factory=dict)
    anew: Callable[[], Sequence[ExpertTensor | None]] | None = None

    def transformed(
        self, task_vectors: TaskVectors, cache: DirectionCache, home: TensorStore, *, exact: bool
    ) -> Slot:
        """Replace the experts' task vectors by those of a kind.

        Args:
            task_vectors: The kind.
            cache: Cache of singular directions.
            home: Keeps the new tensors.
            exact: Whether to keep them as they are made; else rounded to `kept_dtype`.
        """
        anew = partial(self._made, task_vectors, cache)
        keep = partial(home.keep, device=self.device)
        kept = [
            made
            if exact or made is None or isinstance(made, Tensor)
            else made.kept_in(self.kept_dtype())
            for made in anew()
        ]
        return replace(
            self,
            experts=tuple(map_expert_tensor(made, keep) for made in kept),
            directions={},
            anew=None if task_vectors.of_directions else anew,
        )

    def _made(
        self, task_vectors: TaskVectors, cache: DirectionCache
    ) -> Sequence[ExpertTensor | None]:
        here: list[Tensor | LowRank | None] = []
        for expert_tensor in self.experts:
            assert not isinstance(expert_tensor, DenseTaskVector)  # a slot is transformed once
            here.append(None if expert_tensor is None else expert_tensor.to(self.device))
        base = self.base.to(self.device)
        return transform_experts(task_vectors, self.name, base, here, cache.directions)

    def on_device(self, numbers: TensorNumbers) -> Slot:
        """Copy what a genome needs to the device; the stream may still be copying."""

        def copy(tensor: Tensor) -> Tensor:
            if not can_hold(self.device, tensor.dtype):
                return tensor
            return tensor.to(self.device, non_blocking=self.device.type == "cuda")

        wanted = numbers.experts
        experts = tuple(
            map_expert_tensor(expert_tensor, copy) if k in wanted else None
            for k, expert_tensor in enumerate(self.experts)
        )
        directions = {
            k: leading.map_tensors(copy)
            for k, leading in self.directions.items()
            if numbers.terms[k]
        }
        return replace(self, base=copy(self.base), experts=experts, directions=directions)

    def kept_dtype(self) -> torch.dtype:
        """The dtype of kept directions: bfloat16 for models of 16 bits, which cannot show more."""
        narrow = self.dtype in (torch.bfloat16, torch.float16)
        return torch.bfloat16 if narrow else compute_dtype(self.base.dtype)

    def leading(
        self,
        k: int,
        expert_tensor: ExpertTensor,
        copy: Slot,
        limits: tuple[int, float],
        cache: DirectionCache,
        home: TensorStore,
    ) -> LeadingDirections:
        """Give the leading directions of an expert, and keep new ones for the next genome.

        Args:
            k: Index of the expert.
            expert_tensor: The expert's tensor in the copy.
            copy: The slot's copy on the device.
            limits: Rank and energy of the genome's family.
            cache: Cache of singular directions.
            home: Keeps the directions.
        """
        if k not in copy.directions:
            made = {k: expert_tensor} if self.anew is None else dict(enumerate(self.anew()))
            for each, tensor in made.items():
                if tensor is None or (isinstance(tensor, Tensor) and tensor.ndim < 2):
                    continue
                found = directions_of(
                    copy.base, tensor, *limits, self.kept_dtype(), cache.directions
                )
                copy.directions[each] = found
                self.directions[each] = found.map_tensors(partial(home.keep, device=self.device))
        return copy.directions[k]


def map_expert_tensor(
    expert_tensor: ExpertTensor | None, change: Callable[[Tensor], Tensor]
) -> ExpertTensor | None:
    """Apply a function to the tensors of an expert, such as a copy to another device."""
    if isinstance(expert_tensor, Tensor):
        return change(expert_tensor)
    return None if expert_tensor is None else expert_tensor.map_tensors(change)
