"""A model that becomes the model of any genome without a file: in place, or tensor by tensor."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import chain

import torch
from torch import Tensor, nn

from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.factors import FactorCache, as_matrix
from mergekit_cycleqd.fingerprint import row_sums
from mergekit_cycleqd.genome import Genome, Term
from mergekit_cycleqd.kernel import Directions, Share, compute_dtype, merge_into, task_vector
from mergekit_cycleqd.loaded_layout import LoadedLayout, floating_tensors
from mergekit_cycleqd.lora import LoRAExpert, LowRank
from mergekit_cycleqd.replay import replay
from mergekit_cycleqd.separation import separate


@dataclass(frozen=True)
class _Slot:
    """One tensor of the resident model, with those of the base and the experts.

    An expert has a tensor of its own, or a task vector in thin factors, or None for the base's.
    """

    name: str
    parameter: Tensor
    base: Tensor
    experts: tuple[Tensor | LowRank | None, ...]
    directions: dict[int, Directions] = field(default_factory=dict)

    def apart(self, share: float, cache: FactorCache) -> _Slot:
        """The same with task singular vectors in the place of the experts' task vectors."""
        kept = self.kept_dtype()
        found = separate(self.base, self.experts, share, cache.directions)
        experts = tuple(own.to(kept) if isinstance(own, LowRank) else own for own in found)
        return replace(self, experts=experts, directions={})

    def on(self, device: torch.device) -> _Slot:
        """The same with the tensors of base and experts on a device; no copy if they are there."""
        experts = tuple(None if own is None else own.to(device) for own in self.experts)
        return replace(self, base=self.base.to(device), experts=experts)

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
    share R / n, R * (n + m) numbers for each expert.

    A model on the meta device has no weights to replace: base and experts are then kept in main
    memory, and `tensors` gives those of a genome one after the other.
    """

    def __init__(
        self,
        model: nn.Module,
        base: Checkpoint,
        experts: Sequence[Checkpoint],
        cache: FactorCache,
    ) -> None:
        """Take over `model`, on whichever device it is.

        Args:
            model: The base model, loaded by transformers, or laid out on the meta device.
            base: Its checkpoint.
            experts: The experts' checkpoints, in the order of a genome's weights.
            cache: Where bases of task vectors are kept.

        Raises:
            ModelError: If a tensor of the model is in none of the checkpoints, or is not finite.
        """
        self.model = model
        self._cache = cache
        self._leading = (0, 0.0)
        start = LoadedLayout(base, model)
        tensors = floating_tensors(model, base)
        changes = [expert_changes(expert, model, tensors) for expert in experts]
        self._slots = []
        for name, parameter in tensors.items():
            device = _home(parameter)
            original = start.tensor(name)
            found = (_unless_equal(change(name), original) for change in changes)
            tuned = tuple(None if own is None else own.to(device) for own in found)
            self._slots.append(_Slot(name, parameter, original.to(device), tuned))
        self._apart = {0.0: self._slots}

    @torch.no_grad()
    def load(self, genome: Genome) -> None:
        """Make the resident model the model that `genome` describes."""
        for slot, merge in self._merging(genome):
            merge(slot.parameter)

    @torch.no_grad()
    def tensors(self, genome: Genome, device: torch.device) -> Iterator[tuple[str, Tensor]]:
        """Name and tensor, one after the other, of the model that `genome` describes.

        Args:
            genome: The model.
            device: Where tensors are merged, each a new one in the dtype of the model.
        """
        for slot, merge in self._merging(genome):
            merged = torch.empty_like(slot.parameter, device=device)
            merge(merged)
            yield slot.name, merged

    def _merging(self, genome: Genome) -> Iterator[tuple[_Slot, Callable[[Tensor], None]]]:
        """Each slot, and what writes its merged tensor wherever it is to go."""
        family = genome.family
        if family.tsv not in self._apart:
            self._apart[family.tsv] = [slot.apart(family.tsv, self._cache) for slot in self._slots]
        slots = self._apart[family.tsv]
        if (leading := (family.rank, family.energy)) != self._leading:
            self._leading = leading
            for slot in chain.from_iterable(self._apart.values()):
                slot.directions.clear()
        terms = [genome.terms_of(k) for k in range(len(genome.weights))]
        noise = genome.terms_of(None)
        for slot in slots:
            yield slot, partial(self._merge, slot, genome, terms, noise)

    def _merge(
        self,
        kept: _Slot,
        genome: Genome,
        terms: Sequence[Sequence[Term]],
        noise: Sequence[Term],
        out: Tensor,
    ) -> None:
        slot = kept.on(out.device)
        shares = [
            Share(weight, terms[k], tuned, partial(self._directions, slot, k, tuned))
            for k, (tuned, weight) in enumerate(zip(slot.experts, genome.weights, strict=True))
            if tuned is not None and (weight or terms[k])
        ]
        lineage = None
        if genome.lineage:
            taus = [
                None if own is None else partial(task_vector, slot.base, own)
                for own in slot.experts
            ]
            exact = slot.base.to(compute_dtype(slot.base.dtype))
            lineage = replay(slot.name, exact, taus, genome.lineage, *self._leading)
        merge_into(out, slot.name, slot.base, shares, noise, lineage)

    @torch.no_grad()
    def checksum(self) -> str:
        """16 hex digits of the weights as they are now, from exact sums of the bits of each row.

        It reads every weight once, on the device where it is, and takes a number per row off it.
        """
        digest = hashlib.blake2b(digest_size=8)
        for slot in self._slots:
            digest.update(row_sums(slot.parameter))
        return digest.hexdigest()

    def _directions(self, slot: _Slot, k: int, tuned: Tensor | LowRank) -> Directions:
        if k not in slot.directions:
            kept = slot.kept_dtype()
            if isinstance(tuned, LowRank):
                found = Directions.of(tuned, tuned.basis(), *self._leading, kept)
            else:
                tau = as_matrix(task_vector(slot.base, tuned))
                found = Directions.of(tau, self._cache.directions(tau), *self._leading, kept)
            slot.directions[k] = found.to(_home(slot.parameter))
        return slot.directions[k].to(slot.base.device)


def _home(parameter: Tensor) -> torch.device:
    """Where base and experts are kept: beside the parameter, or in main memory if it is nowhere."""
    return torch.device("cpu") if parameter.is_meta else parameter.device


def _unless_equal(own: Tensor | LowRank | None, base: Tensor) -> Tensor | LowRank | None:
    """What an expert has, or None where it is the base's to the bit."""
    return None if isinstance(own, Tensor) and torch.equal(own, base) else own


def expert_changes(
    expert: Checkpoint, model: nn.Module, tensors: Mapping[str, Tensor]
) -> Callable[[str], Tensor | LowRank | None]:
    """How to read what an expert has for each tensor of a loaded model, in the form of a slot.

    Args:
        expert: A whole checkpoint or an adapted base.
        model: A model of its architecture.
        tensors: The model's `floating_tensors`.

    Raises:
        ModelError: If an adapter changes tensors that the model does not have.
    """
    if not isinstance(expert, LoRAExpert):
        return LoadedLayout(expert, model).tensor
    for name, shape in expert.changed_shapes().items():
        if name not in tensors or tuple(tensors[name].shape) != shape:
            has = list(tensors[name].shape) if name in tensors else "none"
            raise ModelError(
                f"{expert.name}: the adapter's {name} {list(shape)} needs a tensor of that name "
                f"and shape in the model, which has {has}"
            )
    return expert.change
