"""A model that becomes the model of any genome without a file: in place, or tensor by tensor."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.loaded_layout import (
    LoadedLayout,
    expert_tensor_reader,
    floating_tensors,
)
from mergekit_cycleqd.engines.fingerprint import row_sums
from mergekit_cycleqd.engines.placement import TensorStore, prefetch, room_beside_batches
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import as_matrix
from mergekit_cycleqd.merging.kernel import LeadingDirections
from mergekit_cycleqd.merging.lineage_replay import Replays
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector
from mergekit_cycleqd.merging.task_vectors import transform_experts

_CPU = torch.device("cpu")


@dataclass(frozen=True)
class _Slot:
    """One tensor of the resident model, with those of the base and the experts.

    An expert has a tensor of its own, or a task vector in thin factors, or None for the base's.
    All are kept on the device, as long as there is room.
    """

    name: str
    parameter: Tensor
    device: torch.device
    base: Tensor
    experts: tuple[Tensor | LowRank | None, ...]
    directions: dict[int, LeadingDirections] = field(default_factory=dict)

    def transformed(
        self, task_vectors: TaskVectors, cache: DirectionCache, home: TensorStore
    ) -> _Slot:
        """The same with task vectors of a kind in the place of the experts' expert_tensor."""
        dtype, device = self.kept_dtype(), self.device
        here = [
            expert_tensor if expert_tensor is None else expert_tensor.to(device)
            for expert_tensor in self.experts
        ]
        found = transform_experts(task_vectors, self.base.to(device), here, cache.directions)
        narrow = (
            expert_tensor.to(dtype) if isinstance(expert_tensor, LowRank) else expert_tensor
            for expert_tensor in found
        )
        keep = partial(home.keep, device=device)
        return replace(
            self,
            experts=tuple(_map_expert_tensor(expert_tensor, keep) for expert_tensor in narrow),
            directions={},
        )

    def on_device(self, numbers: TensorNumbers) -> _Slot:
        """What a genome wants of it, on its device; copies may still be under way in its stream."""

        def copy(tensor: Tensor) -> Tensor:
            return tensor.to(self.device, non_blocking=self.device.type == "cuda")

        wanted = numbers.experts
        experts = tuple(
            _map_expert_tensor(expert_tensor, copy) if k in wanted else None
            for k, expert_tensor in enumerate(self.experts)
        )
        directions = {
            k: leading.map_tensors(copy)
            for k, leading in self.directions.items()
            if numbers.terms[k]
        }
        return replace(self, base=copy(self.base), experts=experts, directions=directions)

    def kept_dtype(self) -> torch.dtype:
        """Of directions: half a model's own precision is beyond what it can show of them."""
        narrow = self.parameter.dtype in (torch.bfloat16, torch.float16)
        return torch.bfloat16 if narrow else compute_dtype(self.base.dtype)


class ResidentModel:
    """A loaded model whose weights are replaced in place by those of any genome of its family.

    Base and experts stay in memory beside it, in the dtype that they are stored in, less the
    tensors that an expert shares with the base; arithmetic is in float32 (float64 for float64
    checkpoints) and starts from them, so that nothing drifts. The singular directions of an expert
    and their images are made when it is first mutated, and kept: for a matrix of m x n, n <= m, at
    rank R, R * (n + m) numbers of bfloat16 in a model of 16 bits, else of float32. Task singular
    vectors are made with the first genome of a family that has them, and kept likewise: with the
    share R / n, R * (n + m) numbers for each expert. All of it is on the model's device as long as
    there is room, then in main memory, from where it is copied for each genome (see `placement`).

    A model on the meta device has no weights to replace: `tensors` gives those of a genome one
    after the other, on a device that is named.
    """

    def __init__(
        self,
        model: nn.Module,
        base: Checkpoint,
        experts: Sequence[Checkpoint],
        cache: DirectionCache,
        room: Callable[[torch.device], float] = room_beside_batches,
        device: torch.device = _CPU,
    ) -> None:
        """Take over `model`, on whichever device it is.

        Args:
            model: The base model, loaded by transformers, or laid out on the meta device.
            base: Its checkpoint.
            experts: The experts' checkpoints, in the order of a genome's weights.
            cache: Where bases of task vectors are kept.
            room: How many more bytes may be kept on a device.
            device: Where the tensors of a model on the meta device are.

        Raises:
            ModelError: If a tensor of the model is in none of the checkpoints, or is not finite.
        """
        self.model = model
        self._cache = cache
        self._home = TensorStore(room)
        self._leading = (0, 0.0)
        self._replays: defaultdict[Family, Replays] = defaultdict(Replays)
        start = LoadedLayout(base, model)
        tensors = floating_tensors(model, base)
        changes = [expert_tensor_reader(expert, model, tensors) for expert in experts]
        self._slots = []
        for name, parameter in tensors.items():
            original = start.tensor(name)
            place = device if parameter.is_meta else parameter.device
            keep = partial(self._home.keep, device=place)
            found = (_unless_equal(change(name), original) for change in changes)
            expert_tensors = tuple(
                _map_expert_tensor(expert_tensor, keep) for expert_tensor in found
            )
            self._slots.append(_Slot(name, parameter, place, keep(original), expert_tensors))
        self._by_kind = {PLAIN: self._slots}

    @torch.no_grad()
    def load(self, genome: Genome) -> None:
        """Make the resident model the model that `genome` describes."""
        for slot, merge in self._merging(genome):
            merge(slot.parameter)

    @torch.no_grad()
    def tensors(self, genome: Genome) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, one after the other, of the model that `genome` describes.

        Each is a new one in the dtype of the model, on the device of its parameter, or on that
        which was named for a model on the meta device.
        """
        for slot, merge in self._merging(genome):
            merged = torch.empty_like(slot.parameter, device=slot.device)
            merge(merged)
            yield slot.name, merged

    def _merging(self, genome: Genome) -> Iterator[tuple[_Slot, Callable[[Tensor], None]]]:
        """Each slot, and what writes its merged tensor."""
        family = genome.family
        vectors = family.task_vectors
        if vectors not in self._by_kind:
            self._by_kind[vectors] = [
                slot.transformed(vectors, self._cache, self._home) for slot in self._slots
            ]
        if (leading := (family.rank, family.energy)) != self._leading:
            self._leading = leading
            for slot in chain.from_iterable(self._by_kind.values()):
                slot.directions.clear()
        numbers = TensorNumbers.of(genome)
        replays = self._replays[family] if genome.lineage else None

        def on_device(slot: _Slot) -> _Slot:
            return slot.on_device(numbers)

        def copied_to(slot: _Slot) -> torch.device | None:
            return slot.device if self._home.full and slot.device.type == "cuda" else None

        for slot, there in prefetch(self._by_kind[vectors], on_device, copied_to):
            directions = partial(self._directions, slot, there)
            yield (
                slot,
                partial(
                    merge_tensor,
                    name=slot.name,
                    base=there.base,
                    experts=there.experts,
                    numbers=numbers,
                    directions=directions,
                    replays=replays,
                ),
            )

    @torch.no_grad()
    def checksum(self) -> str:
        """16 hex digits of the weights as they are now, from exact sums of the bits of each row.

        It reads every weight once, on the device where it is, and takes a number per row off it.
        """
        digest = hashlib.blake2b(digest_size=8)
        for slot in self._slots:
            digest.update(row_sums(slot.parameter))
        return digest.hexdigest()

    def _directions(
        self, kept: _Slot, slot: _Slot, k: int, expert_tensor: Tensor | LowRank
    ) -> LeadingDirections:
        """Of an expert of a slot: made where the slot is now, and kept for the next genome."""
        if k not in slot.directions:
            dtype = kept.kept_dtype()
            if isinstance(expert_tensor, LowRank):
                found = LeadingDirections.of(
                    expert_tensor, expert_tensor.singular_directions(), *self._leading, dtype
                )
            else:
                tau = as_matrix(task_vector(slot.base, expert_tensor))
                found = LeadingDirections.of(
                    tau, self._cache.directions(tau), *self._leading, dtype
                )
            slot.directions[k] = found
            kept.directions[k] = found.map_tensors(partial(self._home.keep, device=kept.device))
        return slot.directions[k]


def _map_expert_tensor(
    expert_tensor: Tensor | LowRank | None, change: Callable[[Tensor], Tensor]
) -> Tensor | LowRank | None:
    """What an expert has, changed, such as to another device."""
    if isinstance(expert_tensor, LowRank):
        return expert_tensor.map_tensors(change)
    return None if expert_tensor is None else change(expert_tensor)


def _unless_equal(expert_tensor: Tensor | LowRank | None, base: Tensor) -> Tensor | LowRank | None:
    """What an expert has, or None where it is the base's to the bit."""
    return (
        None
        if isinstance(expert_tensor, Tensor) and torch.equal(expert_tensor, base)
        else expert_tensor
    )
