"""From genome to weights, one tensor at a time: the one kernel, whoever holds the tensors."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import random_draws
from mergekit_cycleqd.merging.direction_cache import known_directions
from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector

_CPU_BLOCK = 2**20  # elements: what is worked on at a time stays in the processor's cache


_DEVICE_BLOCK = 2**26


_MIN_ROWS = 256  # with fewer, a matrix product is slow


class Product(NamedTuple):
    """A matrix as ``left @ right``."""

    left: Tensor
    right: Tensor


@dataclass(frozen=True)
class LeadingDirections:
    """The leading singular directions of a task vector, ready for one thin product.

    Attributes:
        vectors: (side, lead) orthonormal columns of the smaller side.
        image: ``tau @ vectors`` of (m, lead) if tall; else ``vectors.T @ tau`` of (lead, n).
        tall: Whether the smaller side is that of the columns.
    """

    vectors: Tensor
    image: Tensor
    tall: bool

    @classmethod
    def of(
        cls,
        tau: Tensor | LowRank,
        basis: SingularDirections,
        rank: int,
        energy: float,
        dtype: torch.dtype,
    ) -> LeadingDirections:
        """The directions that lead.

        Args:
            tau: The task vector: dense, in the dtype of the arithmetic, or in thin factors.
            basis: Its singular directions.
            rank: As in `SingularDirections.leading`.
            energy: As in `SingularDirections.leading`.
            dtype: In which vectors and image are kept and multiplied.
        """
        lead = basis.leading(rank, energy)
        if isinstance(tau, LowRank):
            up, down = tau.scaling * tau.up.float(), tau.down.float()
        else:
            up, down = as_matrix(tau), None
        vectors = basis.vectors[:, :lead].to(up)
        m, n = tau.shape if isinstance(tau, LowRank) else up.shape
        if m >= n:
            image = up @ (vectors if down is None else down @ vectors)
        else:
            image = vectors.T @ up
            image = image if down is None else image @ down
        return cls(vectors.to(dtype).contiguous(), image.to(dtype), tall=m >= n)

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> LeadingDirections:
        """The same with both tensors changed, such as to another device."""
        return LeadingDirections(change(self.vectors), change(self.image), self.tall)

    def scaled(self, scales: Tensor) -> Product:
        """``U diag(s * scales) V^T`` of these directions; `scales` is (lead,) float32 or wider."""
        vectors = (self.vectors * scales).to(self.vectors.dtype)
        return Product(self.image, vectors.T) if self.tall else Product(vectors, self.image)


@dataclass(frozen=True)
class Share:
    """What one expert adds to one tensor.

    Attributes:
        weight: Factor of the whole task vector.
        terms: The expert's mutation terms.
        expert: The expert's own tensor, or its task vector in thin factors.
        directions: Gives the leading singular directions; called only for matrices with terms.
    """

    weight: float
    terms: Sequence[Term]
    expert: Tensor | LowRank
    directions: Callable[[], LeadingDirections]

    def as_products(self, name: str, dtype: torch.dtype) -> tuple[float, list[Product]]:
        """``U diag(s * m) V^T`` with ``m = weight + sum_j scale_j * u(seed_j)``, in two parts.

        The first is the mean of the draws on every direction, so that directions that do not lead
        take it, which is exact in expectation; the second is the deviation of those that lead,
        small enough for bfloat16 products.

        Args:
            name: Name of the tensor, which keys its draws.
            dtype: Of the arithmetic.

        Returns:
            A factor of the task vector of a dense expert (0 for thin factors), and products.
        """
        whole, products = self.weight, []
        if self.terms and self.expert.ndim > 1:
            mean = math.fsum(scale for _, _, scale in self.terms) / 2
            whole += mean
            directions = self.directions()
            lead = directions.vectors.shape[1]
            drawn = sum(
                scale * random_draws.uniform(seed, name, lead) for _, seed, scale in self.terms
            )
            scales = torch.as_tensor(drawn - mean, dtype=dtype, device=directions.vectors.device)
            products.append(directions.scaled(scales))
        if isinstance(self.expert, LowRank):
            thin = self.expert
            down = thin.down.to(dtype) * (whole * thin.scaling)
            return 0.0, [Product(thin.up.to(dtype), down), *products]
        return whole, products


def merge_into(
    out: Tensor,
    name: str,
    base: Tensor,
    shares: Sequence[Share],
    noise: Sequence[Term],
    lineage: Tensor | None = None,
) -> None:
    """Make one tensor of a merged model: base, every expert's share, noise and lineage.

    Arithmetic is in float32, or float64 for float64 tensors, and rounded once at the end; it goes
    block by block, so that it needs little memory besides.

    Args:
        out: Where the result goes: like `base`, in any floating dtype.
        name: The tensor's name in the checkpoint, which keys every draw.
        base: The base model's tensor, of any shape and floating dtype.
        shares: What each expert adds; shares of nothing may be left out.
        noise: Gaussian terms, whose scale is a standard deviation.
        lineage: What `replay` gives for the tensor.
    """
    if not out.is_contiguous():
        merged = torch.empty_like(base, memory_format=torch.contiguous_format)
        merge_into(merged, name, base, shares, noise, lineage)
        out.copy_(merged)
        return
    dtype = compute_dtype(base.dtype)
    target, start = _rows(out), _rows(base)
    plans = [(share.expert, *share.as_products(name, dtype)) for share in shares]
    dense = [
        (whole, _rows(expert)) for expert, whole, _ in plans if not isinstance(expert, LowRank)
    ]
    rest = 1.0 - math.fsum(whole for whole, _ in dense)
    sums = _sums([product for _, _, products in plans for product in products])
    added = [] if lineage is None else [_rows(lineage)]
    if noise:
        added.append(_noise(name, base, noise, dtype))
    block = _CPU_BLOCK if base.device.type == "cpu" else _DEVICE_BLOCK
    step = max(_MIN_ROWS, block // max(1, start.shape[1]))
    for first in range(0, start.shape[0], step):
        where = slice(first, first + step)
        merged = rest * start[where].to(dtype)
        for whole, expert in dense:
            merged.add_(expert[where], alpha=whole)
        for lefts, right in sums:
            left = torch.cat([left[where] for left in lefts], 1)
            if left.dtype == dtype:
                merged.addmm_(left, right)
            else:
                merged += left @ right
        for tensor in added:
            merged += tensor[where]
        target[where] = merged


def directions_of(
    base: Tensor, own: Tensor | LowRank, rank: int, energy: float
) -> LeadingDirections:
    """The directions of an expert that lead, for one use; nothing is written to the cache.

    Args:
        base: As in `task_vector`.
        own: As in `task_vector`.
        rank: As in `SingularDirections.leading`.
        energy: As in `SingularDirections.leading`.
    """
    if isinstance(own, LowRank):
        return LeadingDirections.of(
            own, own.singular_directions(), rank, energy, compute_dtype(base.dtype)
        )
    tau = task_vector(base, own)
    return LeadingDirections.of(tau, known_directions(as_matrix(tau)), rank, energy, tau.dtype)


def _sums(products: Sequence[Product]) -> list[tuple[list[Tensor], Tensor]]:
    """All products of one dtype as one, whose left factors still stand apart."""
    groups: dict[torch.dtype, list[Product]] = {}
    for product in products:
        groups.setdefault(product.left.dtype, []).append(product)
    return [
        ([left for left, _ in group], torch.cat([right for _, right in group]))
        for group in groups.values()
    ]


def _rows(tensor: Tensor) -> Tensor:
    """A view as a matrix where that can be, so that what is written to it arrives."""
    return tensor.reshape(1, 1) if tensor.ndim == 0 else as_matrix(tensor)


def _noise(name: str, like: Tensor, terms: Sequence[Term], dtype: torch.dtype) -> Tensor:
    total = sum(std * random_draws.normal(seed, name, like.numel()) for _, seed, std in terms)
    return _rows(torch.as_tensor(total, dtype=dtype).to(like.device).reshape(like.shape))
