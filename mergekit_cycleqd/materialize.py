"""From genome to weights: the one kernel, and a resident model that takes genomes in place."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from mergekit_cycleqd import draws
from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.factors import Basis, FactorCache, as_matrix
from mergekit_cycleqd.genome import Genome, Term
from mergekit_cycleqd.loaded_layout import LoadedLayout, floating_tensors


@dataclass(frozen=True)
class Share:
    """What one expert adds to one tensor.

    Attributes:
        tau: The task vector of the tensor, in the dtype of the arithmetic.
        weight: Factor of the whole of it.
        terms: The expert's mutation terms.
        basis: Gives the singular directions of `as_matrix(tau)`; called only if they are needed.
    """

    tau: Tensor
    weight: float
    terms: Sequence[Term]
    basis: Callable[[], Basis]

    def delta(self, name: str, rank: int, energy: float) -> Tensor:
        """``U diag(s * m) V^T`` with ``m = weight + sum_j scale_j * u(seed_j)``.

        Where `rank` or `energy` limits them, only the leading directions have draws of their own;
        the rest take the mean, scale / 2, which is exact in expectation.

        Args:
            name: Name of the tensor, which keys its draws.
            rank: Leading directions to scale one by one; 0 for all.
            energy: Share of the squared singular values that they hold instead; 0 for `rank`.

        Returns:
            A tensor like `tau`.
        """
        tau = self.tau
        if not self.terms or tau.ndim < 2:
            return self.weight * tau
        matrix = as_matrix(tau)
        m, n = matrix.shape
        found = self.basis()
        full = len(found.values)
        lead = found.leading(rank, energy)
        drawn = sum(scale * draws.uniform(seed, name, lead) for _, seed, scale in self.terms)
        tail = sum(scale for _, _, scale in self.terms) / 2 if lead < full else 0.0
        scales = torch.as_tensor(drawn - tail, dtype=tau.dtype, device=tau.device)
        basis = found.vectors.to(device=tau.device, dtype=tau.dtype)[:, :lead]
        # Two orders of the same product: the thin one pays off only well below full rank.
        if 2 * max(m, n) * lead <= full * lead + max(m, n) * full:
            scaled = (
                ((matrix @ basis) * scales) @ basis.T
                if m >= n
                else (basis @ (scales[:, None] * (basis.T @ matrix)))
            )
        else:
            mixing = (basis * scales) @ basis.T
            scaled = matrix @ mixing if m >= n else mixing @ matrix
        return (self.weight + tail) * tau + scaled.reshape(tau.shape)


def merge_tensor(
    name: str,
    base: Tensor,
    shares: Sequence[Share],
    noise: Sequence[Term],
    rank: int,
    energy: float = 0.0,
) -> Tensor:
    """One tensor of a merged model: base, plus every expert's share, plus Gaussian noise.

    Args:
        name: The tensor's name in the checkpoint, which keys every draw.
        base: The base model's tensor, of any shape, in the dtype of the arithmetic.
        shares: What each expert adds; shares of nothing may be left out.
        noise: Gaussian terms, whose scale is a standard deviation.
        rank: Leading directions to scale one by one; 0 for all.
        energy: Share of the squared singular values that they hold instead; 0 for `rank`.

    Returns:
        A new tensor like `base`.
    """
    merged = base.clone()
    for share in shares:
        merged += share.delta(name, rank, energy)
    for _, seed, std in noise:
        drawn = torch.as_tensor(draws.normal(seed, name, base.numel()), device=base.device)
        merged += (std * drawn).to(base.dtype).reshape(base.shape)
    return merged


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which tensors of `dtype` are merged: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)


@dataclass(frozen=True)
class _Slot:
    """One tensor of the resident model, with those of the base and the experts."""

    name: str
    parameter: Tensor
    base: Tensor
    experts: tuple[Tensor, ...]
    bases: dict[int, Basis]


class ResidentModel:
    """A loaded model whose weights are replaced in place by those of any genome of its family.

    Base and experts stay in memory beside it, in the dtype that they are stored in; task vectors
    are formed in float32 (float64 for float64 checkpoints) when needed, so that nothing drifts.
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
        layouts = [LoadedLayout(checkpoint, model) for checkpoint in (base, *experts)]
        self._slots = []
        for name, parameter in floating_tensors(model, base).items():
            started, *tuned = (layout.tensor(name).to(parameter.device) for layout in layouts)
            self._slots.append(_Slot(name, parameter, started, tuple(tuned), {}))

    @torch.no_grad()
    def load(self, genome: Genome) -> None:
        """Make the resident model the model that `genome` describes."""
        rank, energy = genome.family.rank, genome.family.energy
        terms = [genome.terms_of(k) for k in range(len(genome.weights))]
        noise = genome.terms_of(None)
        for slot in self._slots:
            dtype = compute_dtype(slot.base.dtype)
            base = slot.base.to(dtype)
            shares = [
                self._share(slot, k, slot.experts[k].to(dtype) - base, weight, terms[k])
                for k, weight in enumerate(genome.weights)
                if weight or terms[k]
            ]
            slot.parameter.copy_(merge_tensor(slot.name, base, shares, noise, rank, energy))

    def _share(
        self, slot: _Slot, k: int, tau: Tensor, weight: float, terms: Sequence[Term]
    ) -> Share:
        def basis() -> Basis:
            if k not in slot.bases:
                slot.bases[k] = self._cache.directions(as_matrix(tau))
            return slot.bases[k]

        return Share(tau, weight, terms, basis)
