"""From genome to weights: the one kernel, and a resident model that takes genomes in place."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mergekit_cycleqd import draws
from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.factors import Basis, FactorCache, as_matrix
from mergekit_cycleqd.genome import Genome, Term
from mergekit_cycleqd.loaded_layout import LoadedLayout, floating_tensors
from mergekit_cycleqd.lora import LoRAExpert, LowRank


@dataclass(frozen=True)
class Directions:
    """The leading singular directions of a task vector, ready for one thin product.

    Attributes:
        vectors: (side, lead) orthonormal columns of the smaller side.
        image: ``tau @ vectors`` of (m, lead) where m >= n; else ``vectors.T @ tau`` of (lead, n).
        complete: Whether these are all directions, so that the task vector is their product.
    """

    vectors: Tensor
    image: Tensor
    complete: bool

    @classmethod
    def of(cls, tau: Tensor, basis: Basis, rank: int, energy: float) -> Directions:
        """The directions that `rank` or `energy` lets lead (see `Basis.leading`)."""
        matrix = as_matrix(tau)
        lead = basis.leading(rank, energy)
        vectors = basis.vectors[:, :lead].to(device=tau.device, dtype=tau.dtype).contiguous()
        tall = matrix.shape[0] >= matrix.shape[1]
        image = matrix @ vectors if tall else vectors.T @ matrix
        return cls(vectors, image, complete=lead == len(basis.values))

    def add_to(self, matrix: Tensor, scales: Tensor) -> None:
        """Add ``U diag(s * scales) V^T`` of these directions to an (m, n) matrix in place."""
        if matrix.shape[0] >= matrix.shape[1]:
            matrix.addmm_(self.image * scales, self.vectors.T)
        else:
            matrix.addmm_(self.vectors * scales, self.image)


@dataclass(frozen=True)
class Share:
    """What one expert adds to one tensor.

    Attributes:
        weight: Factor of the whole task vector.
        terms: The expert's mutation terms.
        tau: Gives the task vector of the tensor, in the dtype of the arithmetic.
        directions: Gives its leading singular directions; called only for matrices with terms.
    """

    weight: float
    terms: Sequence[Term]
    tau: Callable[[], Tensor]
    directions: Callable[[], Directions]

    def add_to(self, merged: Tensor, name: str) -> None:
        """Add ``U diag(s * m) V^T`` with ``m = weight + sum_j scale_j * u(seed_j)`` in place.

        Where the directions are not complete, the rest of the spectrum takes the mean of the
        draws, scale / 2, which is exact in expectation.

        Args:
            merged: A contiguous tensor of the shape of the task vector.
            name: Name of the tensor, which keys its draws.
        """
        if not self.terms or merged.ndim < 2:
            merged.add_(self.tau(), alpha=self.weight)
            return
        directions = self.directions()
        lead = directions.vectors.shape[1]
        drawn = sum(scale * draws.uniform(seed, name, lead) for _, seed, scale in self.terms)
        rest = 0.0
        if not directions.complete:
            rest = self.weight + sum(scale for _, _, scale in self.terms) / 2
            merged.add_(self.tau(), alpha=rest)
        scales = torch.as_tensor(self.weight + drawn - rest, dtype=merged.dtype)
        directions.add_to(as_matrix(merged), scales.to(merged.device))


def merge_tensor(name: str, base: Tensor, shares: Sequence[Share], noise: Sequence[Term]) -> Tensor:
    """One tensor of a merged model: base, plus every expert's share, plus Gaussian noise.

    Args:
        name: The tensor's name in the checkpoint, which keys every draw.
        base: The base model's tensor, of any shape, in the dtype of the arithmetic.
        shares: What each expert adds; shares of nothing may be left out.
        noise: Gaussian terms, whose scale is a standard deviation.

    Returns:
        A new tensor like `base`.
    """
    merged = base.clone(memory_format=torch.contiguous_format)
    for share in shares:
        share.add_to(merged, name)
    for _, seed, std in noise:
        drawn = torch.as_tensor(draws.normal(seed, name, base.numel()), device=base.device)
        merged += (std * drawn).to(base.dtype).reshape(base.shape)
    return merged


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which tensors of `dtype` are merged: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


@dataclass(frozen=True)
class _Slot:
    """One tensor of the resident model, with those of the base and the experts.

    An expert has a tensor of its own, or a task vector in thin factors, or None for the base's.
    """

    name: str
    parameter: Tensor
    base: Tensor
    experts: tuple[Tensor | LowRank | None, ...]
    directions: dict[int, Directions]


class ResidentModel:
    """A loaded model whose weights are replaced in place by those of any genome of its family.

    Base and experts stay in memory beside it, in the dtype that they are stored in; task vectors
    are formed in float32 (float64 for float64 checkpoints) when needed, so that nothing drifts.
    Singular directions and their images are made when an expert is first mutated, and kept.
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
            model: The base model, loaded by transformers.
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
            device = parameter.device
            found = (change(name) for change in changes)
            tuned = tuple(None if own is None else own.to(device) for own in found)
            self._slots.append(_Slot(name, parameter, start.tensor(name).to(device), tuned, {}))

    @torch.no_grad()
    def load(self, genome: Genome) -> None:
        """Make the resident model the model that `genome` describes."""
        leading = (genome.family.rank, genome.family.energy)
        if leading != self._leading:
            self._leading = leading
            for slot in self._slots:
                slot.directions.clear()
        terms = [genome.terms_of(k) for k in range(len(genome.weights))]
        noise = genome.terms_of(None)
        for slot in self._slots:
            base = slot.base.to(compute_dtype(slot.base.dtype))
            shares = [
                self._share(slot, k, tuned, base, weight, terms[k])
                for k, (tuned, weight) in enumerate(zip(slot.experts, genome.weights, strict=True))
                if tuned is not None and (weight or terms[k])
            ]
            slot.parameter.copy_(merge_tensor(slot.name, base, shares, noise))

    def _share(
        self,
        slot: _Slot,
        k: int,
        tuned: Tensor | LowRank,
        base: Tensor,
        weight: float,
        terms: Sequence[Term],
    ) -> Share:
        def tau() -> Tensor:
            if isinstance(tuned, LowRank):
                return tuned.product(base.dtype)
            return tuned.to(base.dtype) - base

        def directions() -> Directions:
            if k not in slot.directions:
                formed = tau()
                if isinstance(tuned, LowRank):
                    basis = tuned.basis()
                else:
                    basis = self._cache.directions(as_matrix(formed))
                slot.directions[k] = Directions.of(formed, basis, *self._leading)
            return slot.directions[k]

        return Share(weight, terms, tau, directions)


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
