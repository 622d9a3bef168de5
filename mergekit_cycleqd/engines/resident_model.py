"""A loaded model whose weights are replaced, in place, by those of any genome."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from itertools import chain, islice

import torch
from torch import Tensor, nn

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.tensor_readers import tensor_reader, whole_reader
from mergekit_cycleqd.engines.fingerprint import row_sums
from mergekit_cycleqd.engines.placement import TensorStore, prefetch, room_beside_batches
from mergekit_cycleqd.engines.resident_slot import Slot, map_expert_tensor
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.lineage_replay import Replays
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor

_CPU = torch.device("cpu")


class ResidentModel:
    """A loaded model whose weights are replaced in place by those of any genome of its family.

    Base and experts stay in memory in their stored dtype; an expert's tensor is left out if it
    equals the base's. Each merge starts from them, in float32 (float64 for float64 checkpoints), so
    that errors do not add up.

    The singular directions of an expert and their images are made at its first mutation and kept.
    For a matrix of m x n, n <= m, at rank R, these are R * (n + m) numbers. They are bfloat16 in a
    model of 16 bits, else float32 (float64 for repeated singular values). Task singular vectors are
    made for the first genome that needs them and kept too. With a share of R / n, these are
    R * (n + m) numbers for each expert, in float64 for close singular values. Other kinds of task
    vectors take as much as the experts do.

    All this is on the model's device while there is room, and then in main memory, from where it is
    copied for each genome (see `placement`).

    A model on the meta device has no weights to replace. For such a model, `tensors` gives the
    tensors of a genome one after the other, on a given device.
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
        """Take over `model` on its device.

        Args:
            model: The base model, loaded by transformers or laid out on the meta device.
            base: Checkpoint of the base.
            experts: Checkpoints of the experts, in the order of a genome's weights.
            cache: Cache of singular directions.
            room: Gives the number of bytes that may still be taken on a device.
            device: Device of the tensors, for a model on the meta device.

        Raises:
            ModelError: If a checkpoint lacks a tensor of the model, or a tensor is not finite.
        """
        self.model = model
        self._cache = cache
        self._home = TensorStore(room)
        self._leading = (0, 0.0)
        self._replays: defaultdict[Family, Replays] = defaultdict(Replays)
        self.layout = layout = MergeLayout(base, model)
        self._units = layout.units
        self._loaded = layout.loaded
        start = whole_reader(layout, base)
        changes = [tensor_reader(layout, expert) for expert in experts]
        self._slots = []
        for unit in self._units:
            parameter = self._loaded[unit.loaded[0]]
            place = device if parameter.is_meta else parameter.device
            keep = partial(self._home.keep, device=place)
            for name in unit.names:
                original = start(name)
                found = (_unless_equal(change(name), original) for change in changes)
                expert_tensors = tuple(
                    map_expert_tensor(expert_tensor, keep) for expert_tensor in found
                )
                self._slots.append(
                    Slot(name, parameter.dtype, place, keep(original), expert_tensors)
                )
        self._by_kind = {(PLAIN, False): self._slots}

    @property
    def _first(self) -> Tensor:
        return next(iter(self._loaded.values()))

    @property
    def dtype(self) -> torch.dtype:
        """Dtype of the model's weights."""
        return self._first.dtype

    @property
    def device(self) -> torch.device:
        """Device of the model, or of its first tensor where it is spread."""
        return self._first.device

    @torch.no_grad()
    def load(self, genome: Genome) -> None:
        """Replace the weights by those of `genome`."""
        merging = self._merging(genome)
        for unit in self._units:
            if unit.assemble is None:
                _, merge = next(merging)
                merge(self._loaded[unit.loaded[0]])
                continue
            parts = dict(
                _merge_new(slot, merge) for slot, merge in islice(merging, len(unit.names))
            )
            for name, tensor in unit.assemble(parts).items():
                self._loaded[name].copy_(tensor)

    @torch.no_grad()
    def tensors(self, genome: Genome) -> Iterator[tuple[str, Tensor]]:
        """Compute the merged tensors of a genome's model one after the other.

        Yields:
            Name, and a new tensor in the dtype of the model, on the device of the merge.
        """
        for slot, merge in self._merging(genome):
            yield _merge_new(slot, merge)

    def filled(self, number: float) -> Iterator[tuple[str, Tensor]]:
        """Make tensors of the same names and shapes as `tensors`, filled with one number."""
        for slot in self._slots:
            yield (
                slot.name,
                torch.full(slot.base.shape, number, dtype=slot.dtype, device=slot.device),
            )

    @torch.no_grad()
    def slots(self, vectors: TaskVectors, *, exact: bool = False) -> Sequence[Slot]:
        """Give what is kept of all tensors for a kind of task vectors, made when first needed.

        Args:
            vectors: The kind.
            exact: As in `Slot.transformed`.
        """
        if (vectors, exact) not in self._by_kind:
            self._by_kind[vectors, exact] = [
                slot.transformed(vectors, self._cache, self._home, exact=exact)
                for slot in self._slots
            ]
        return self._by_kind[vectors, exact]

    def _merging(self, genome: Genome) -> Iterator[tuple[Slot, Callable[[Tensor], None]]]:
        """Give each slot with a function that writes its merged tensor."""
        family = genome.family
        vectors = family.task_vectors
        exact = bool(genome.lineage) and not (vectors == PLAIN or vectors.of_directions)
        slots = self.slots(vectors, exact=exact)
        if (leading := (family.rank, family.energy)) != self._leading:
            self._leading = leading
            for slot in chain.from_iterable(self._by_kind.values()):
                slot.directions.clear()
        replays = self._replays[family] if genome.lineage else None

        def on_device(slot: Slot) -> Slot:
            return slot.on_device(TensorNumbers.of(genome, slot.name))

        def copied_to(slot: Slot) -> torch.device | None:
            return slot.device if self._home.full and slot.device.type == "cuda" else None

        for slot, there in prefetch(slots, on_device, copied_to):
            directions = partial(
                slot.leading, copy=there, limits=leading, cache=self._cache, home=self._home
            )
            yield (
                slot,
                partial(
                    merge_tensor,
                    name=slot.name,
                    base=there.base,
                    experts=there.experts,
                    numbers=TensorNumbers.of(genome, slot.name),
                    directions=directions,
                    replays=replays,
                ),
            )

    @torch.no_grad()
    def checksum(self) -> str:
        """Compute 16 hex digits of the present weights, from exact sums of the bits of each row.

        Every weight is read once on its device, and one number per row is copied to the CPU.
        """
        digest = hashlib.blake2b(digest_size=8)
        for tensor in self._loaded.values():
            digest.update(row_sums(tensor))
        return digest.hexdigest()


def _merge_new(slot: Slot, merge: Callable[[Tensor], None]) -> tuple[str, Tensor]:
    """Merge into a new tensor, and give its name too."""
    merged = torch.empty(slot.base.shape, dtype=slot.dtype, device=slot.device)
    merge(merged)
    return slot.name, merged


def _unless_equal(expert_tensor: Tensor | LowRank | None, base: Tensor) -> Tensor | LowRank | None:
    """Give an expert's tensor, or None if it equals the base's."""
    return (
        None
        if isinstance(expert_tensor, Tensor) and torch.equal(expert_tensor, base)
        else expert_tensor
    )
