"""The merge kernel: base, task vectors, mutations and noise give one tensor of a merged model."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import random_draws
from mergekit_cycleqd.merging.clusters import Starts
from mergekit_cycleqd.merging.dense_task_vector import DenseTaskVector
from mergekit_cycleqd.merging.direction_cache import known_directions
from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix
from mergekit_cycleqd.merging.float64 import cast, placed
from mergekit_cycleqd.merging.fused_sum import fits, fused_sum
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.products import Product, by_dtype, is_narrow
from mergekit_cycleqd.merging.task_vector import ExpertTensor, compute_dtype, task_vector

_CPU_BLOCK = 2**20  # elements: a block stays in the processor's cache
_DEVICE_BLOCK = 2**26
_MIN_ROWS = 256  # a matrix product of fewer rows is slow


@dataclass(frozen=True)
class LeadingDirections:
    """The leading singular directions of a task vector, and their images.

    Attributes:
        vectors: (side, lead) orthonormal columns of the smaller side.
        image: ``tau @ vectors`` of (m, lead) if tall; else ``vectors.T @ tau`` of (lead, n).
        tall: Whether m >= n, so that `vectors` are right singular vectors.
        starts: (lead,) the first direction of each one's cluster, whose draw it shares.
    """

    vectors: Tensor
    image: Tensor
    tall: bool
    starts: Starts

    @classmethod
    def of(
        cls,
        tau: Tensor | LowRank,
        directions: SingularDirections,
        rank: int,
        energy: float,
        dtype: torch.dtype,
    ) -> LeadingDirections:
        """Select the leading directions of a task vector and compute their images.

        Args:
            tau: The task vector, dense in the dtype of the arithmetic, or a `LowRank`.
            directions: All singular directions of the task vector.
            rank: As in `SingularDirections.leading`.
            energy: As in `SingularDirections.leading`.
            dtype: Dtype in which vectors and image are kept and multiplied. float32 becomes float64
                if singular values are repeated, so that the sum is rounded alike in every basis.
        """
        lead = directions.leading(rank, energy)
        least = torch.float64 if directions.repeated else torch.float32
        if isinstance(tau, LowRank):
            exact = torch.promote_types(tau.up.dtype, least)
            up, down = tau.scaling * cast(tau.up, exact), cast(tau.down, exact)
        else:
            exact = torch.promote_types(tau.dtype, least)
            up, down = cast(as_matrix(tau), exact), None
        dtype = exact if dtype == torch.float32 else dtype
        vectors = directions.vectors[:, :lead].to(up)
        m, n = tau.shape if isinstance(tau, LowRank) else up.shape
        if m >= n:
            image = up @ (vectors if down is None else down @ vectors)
        else:
            image = vectors.T @ up
            image = image if down is None else image @ down
        starts = directions.starts[:lead]
        return cls(vectors.to(dtype).contiguous(), image.to(dtype), m >= n, starts)

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> LeadingDirections:
        """Apply a function to both tensors, such as a copy to another device."""
        return LeadingDirections(change(self.vectors), change(self.image), self.tall, self.starts)

    def scaled(self, scales: Tensor) -> Product:
        """Scale the directions: ``U diag(s * scales) V^T``, with (lead,) scales."""
        vectors = torch.mul(self.vectors, scales, out=torch.empty_like(self.vectors))
        return Product(self.image, vectors.T) if self.tall else Product(vectors, self.image)


@dataclass(frozen=True)
class Share:
    """The share of one expert in one merged tensor.

    Attributes:
        weight: Coefficient of the task vector.
        terms: The expert's mutation terms.
        expert: The expert's tensor, or its task vector.
        directions: Gives the leading singular directions; called only for matrices with terms.
    """

    weight: float
    terms: Sequence[Term]
    expert: ExpertTensor
    directions: Callable[[], LeadingDirections]

    def as_products(self, name: str, dtype: torch.dtype) -> tuple[float, list[Product]]:
        """Split ``U diag(s * m) V^T`` with ``m = weight + sum_j scale_j * u(seed_j)``.

        The first part scales all directions by the mean of m. For directions that do not lead this
        is exact in expectation. The second part is the deviation of the leading directions from
        the mean. It is small, so that products in bfloat16 are precise enough.

        Args:
            name: Name of the tensor, which keys the draws.
            dtype: Dtype of the arithmetic.

        Returns:
            Coefficient of a dense task vector (0 for a `LowRank`), and products to add.
        """
        coefficient, products = self.weight, []
        if self.terms and self.expert.ndim > 1:
            mean = math.fsum(scale for _, _, scale in self.terms) / 2
            coefficient += mean
            directions = self.directions()
            lead, single = len(directions.starts), dtype == torch.float32
            drawn = random_draws.deviations(self.terms, name, lead, mean, single=single)
            scales = _sent(drawn[directions.starts], dtype, directions.vectors.device)
            products.append(directions.scaled(scales))
        if isinstance(self.expert, LowRank):
            thin = self.expert
            dtype = torch.promote_types(dtype, thin.up.dtype)
            down = thin.down.to(dtype) * (coefficient * thin.scaling)
            return 0.0, [Product(thin.up.to(dtype), down), *products]
        return coefficient, products


def merge_into(
    out: Tensor,
    name: str,
    base: Tensor,
    shares: Sequence[Share],
    noise: Sequence[Term],
    lineage: Tensor | None = None,
) -> None:
    """Compute one tensor of a merged model from base, shares of the experts, noise and lineage.

    Arithmetic is in float32, or in float64 for float64 tensors, and is rounded once at the end. It
    works block by block, so that it needs little additional memory.

    Args:
        out: Tensor for the result, of the shape of `base` and any floating dtype.
        name: Name of the tensor in the checkpoint, which keys all draws.
        base: The base model's tensor, of any shape and floating dtype.
        shares: Shares of the experts. Those that add nothing may be left out.
        noise: Gaussian terms, whose scale is a standard deviation.
        lineage: Result of `replay` for the tensor.
    """
    if not out.is_contiguous():
        merged = torch.empty_like(base, memory_format=torch.contiguous_format)
        merge_into(merged, name, base, shares, noise, lineage)
        out.copy_(merged)
        return
    dtype = compute_dtype(base.dtype)
    target, start = _rows(out), _rows(base)
    added_by_shares = [(share.expert, *share.as_products(name, dtype)) for share in shares]
    dense = [
        (coefficient, _rows(expert))
        for expert, coefficient, _ in added_by_shares
        if isinstance(expert, Tensor)
    ]
    base_coefficient = 1.0 - math.fsum(coefficient for coefficient, _ in dense)
    dense += [
        (coefficient, _rows(placed(cast(expert.tau, dtype), base.device)))
        for expert, coefficient, _ in added_by_shares
        if isinstance(expert, DenseTaskVector)
    ]
    sums = by_dtype([product for _, _, products in added_by_shares for product in products])
    added = [] if lineage is None else [_rows(lineage)]
    if noise:
        added.append(_noise(name, base, noise, dtype))
    block = _CPU_BLOCK if base.device.type == "cpu" else _DEVICE_BLOCK
    step = max(_MIN_ROWS, block // max(1, start.shape[1]))
    for first in range(0, start.shape[0], step):
        where = slice(first, first + step)
        summands = [(base_coefficient, start[where])]
        summands += [(coefficient, expert[where]) for coefficient, expert in dense]
        if not added and is_narrow(sums) and fits(target, summands):
            fused_sum(target[where], summands, sums[0].sum(where) if sums else None)
            continue
        merged = base_coefficient * start[where].to(dtype)
        for coefficient, expert in summands[1:]:
            merged.add_(expert, alpha=coefficient)
        for products in sums:
            products.add_to(merged, where)
        for tensor in added:
            merged += tensor[where]
        target[where] = merged


def directions_of(
    base: Tensor,
    expert_tensor: ExpertTensor,
    rank: int,
    energy: float,
    dtype: torch.dtype | None = None,
    singular_directions: Callable[[Tensor], SingularDirections] = known_directions,
) -> LeadingDirections:
    """Compute the leading directions of an expert.

    Args:
        base: As in `task_vector`.
        expert_tensor: As in `task_vector`.
        rank: As in `SingularDirections.leading`.
        energy: As in `SingularDirections.leading`.
        dtype: As in `LeadingDirections.of`; None for the dtype of the arithmetic.
        singular_directions: Gives the singular directions of a dense task vector. By default, those
            that are computed are not stored.
    """
    dtype = dtype or compute_dtype(base.dtype)
    if isinstance(expert_tensor, LowRank):
        return LeadingDirections.of(
            expert_tensor, expert_tensor.singular_directions(), rank, energy, dtype
        )
    tau = as_matrix(task_vector(base, expert_tensor))
    if isinstance(expert_tensor, DenseTaskVector):  # rounding may part repeated values
        exact = as_matrix(expert_tensor.tau)
        found = singular_directions(exact)
        return LeadingDirections.of(exact if found.close else tau, found, rank, energy, dtype)
    return LeadingDirections.of(tau, singular_directions(tau), rank, energy, dtype)


def _sent(numbers: NDArray[np.float64], dtype: torch.dtype, device: torch.device) -> Tensor:
    """Copy numbers to a device, without waiting for the device's earlier work."""
    tensor = torch.as_tensor(numbers, dtype=dtype, device="cpu")  # mergekit may set another default
    if device.type != "cuda":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def _rows(tensor: Tensor) -> Tensor:
    """View a tensor as a matrix, so that what is written to the view reaches the tensor."""
    return tensor.reshape(1, 1) if tensor.ndim == 0 else as_matrix(tensor)


def _noise(name: str, like: Tensor, terms: Sequence[Term], dtype: torch.dtype) -> Tensor:
    total = sum(std * random_draws.normal(seed, name, like.numel()) for _, seed, std in terms)
    return _rows(_sent(np.asarray(total), dtype, like.device).reshape(like.shape))
