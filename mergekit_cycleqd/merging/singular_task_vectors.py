"""Task singular vectors: low-rank task vectors whose directions are orthogonal between experts.

This is TSV-Merge (Gargiulo et al., CVPR 2025, arXiv:2412.00081). Experts interfere if their task
vectors use the same directions. For each matrix, the leading left singular vectors of all experts
are joined and replaced by the nearest orthonormal vectors; likewise the right ones. These vectors
and the expert's singular values give the expert's new task vector. It depends on base and experts
alone, so that every operator of a genome stays linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix
from mergekit_cycleqd.merging.float64 import in_float64, placed
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector

_SMALLEST_VALUE = 1e-3 * (1 - 1e-9)  # of the largest: smaller values may be rounding errors
_SMALLEST_LENGTH = 1e-8  # squared length of a difference: closer directions count as one


def singular_task_vectors(
    name: str,
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    share: float,
    singular_directions: Callable[[Tensor], SingularDirections],
) -> list[Tensor | LowRank | None]:
    """Replace the task vectors of one tensor by task singular vectors.

    Args:
        name: Not needed.
        base: The base's tensor.
        experts: Each expert's tensor, its task vector as a `LowRank`, or None if it equals the
            base's.
        share: Share of a matrix's directions that each expert keeps, at most 1. With
            ``1 / len(experts)`` all experts together fill the space.
        singular_directions: Gives the singular directions of a dense task vector.

    Returns:
        The experts in the dtype of the arithmetic. A matrix becomes a `LowRank`, in float64 where
        singular values are close. A tensor of fewer than two axes becomes the base plus
        ``1 / len(experts)`` of the task vector.
    """
    del name
    if base.ndim < 2:
        start = base.to(compute_dtype(base.dtype))
        parts = [
            None if expert_tensor is None else task_vector(base, expert_tensor) / len(experts)
            for expert_tensor in experts
        ]
        return [None if part is None else start + part for part in parts]
    lead = kept_directions(share, min(as_matrix(base).shape))
    found: list[Tensor | LowRank | None] = [None] * len(experts)
    leading = {
        k: part
        for k, expert_tensor in enumerate(experts)
        if expert_tensor is not None
        and (part := _leading(base, expert_tensor, lead, singular_directions)).values.numel()
    }
    exact = any(part.close for part in leading.values())
    lefts = _orthonormalise([part.left for part in leading.values()], exact)
    rights = _orthonormalise([part.right for part in leading.values()], exact)
    for (k, part), left, right in zip(leading.items(), lefts, rights, strict=True):
        dtype = torch.float64 if part.close else compute_dtype(base.dtype)
        up, down = left * part.values, right.T.contiguous()
        found[k] = LowRank(up.to(dtype), down.to(dtype), 1.0).map_tensors(
            lambda factor: placed(factor, base.device)
        )
    return found


def kept_directions(share: float, side: int) -> int:
    """Count the directions that are a share of a matrix's smaller `side`: at least one."""
    return max(1, int(share * side + 1e-6))


class _Leading(NamedTuple):
    """The leading singular vectors and values of a task vector, in float64.

    Attributes:
        left: (m, r) left singular vectors.
        values: (r,) singular values.
        right: (n, r) right singular vectors.
        close: As in `SingularDirections`.
    """

    left: Tensor
    values: Tensor
    right: Tensor
    close: bool


def _leading(
    base: Tensor,
    expert_tensor: Tensor | LowRank,
    lead: int,
    singular_directions: Callable[[Tensor], SingularDirections],
) -> _Leading:
    """Compute (m, r), (r,) and (n, r); r is 0 if the task vector is zero.

    It is at most `lead`, or ends the cluster of the last one.
    """
    tau = as_matrix(task_vector(base, expert_tensor))
    known = (
        expert_tensor.singular_directions()
        if isinstance(expert_tensor, LowRank)
        else singular_directions(tau)
    )
    long = int((known.values > _SMALLEST_VALUE * known.values[0]).sum())
    count = known.whole(min(lead, long)) if long else 0
    tau = in_float64(tau)
    values = known.values[:count].to(tau.device)
    vectors = in_float64(known.vectors[:, : len(values)]).to(tau.device)
    if tau.shape[0] >= tau.shape[1]:
        return _Leading(tau @ vectors / values, values, vectors, known.close)
    return _Leading(vectors, values, tau.T @ vectors / values, known.close)


def _orthonormalise(sides: Sequence[Tensor], exact: bool) -> list[Tensor]:
    """Compute the orthonormal columns nearest to all given ones, in the same groups.

    Args:
        sides: (length, r) columns of each group.
        exact: Whether to take the time for an SVD. Squares hide which singular values of the task
            vectors are repeated, where groups share directions or nearly so.
    """
    if len(sides) < 2:  # the columns of one expert are orthonormal
        return list(sides)
    joined = torch.cat(list(sides), 1)
    if exact:
        basis, stretch, turn = torch.linalg.svd(joined, full_matrices=False)
        shrunk = (stretch / _SMALLEST_LENGTH**0.5).clamp(max=1.0)
        nearest = (basis * shrunk) @ turn
    else:
        lengths, turn = torch.linalg.eigh(joined.T @ joined)
        nearest = joined @ (turn * lengths.clamp(min=_SMALLEST_LENGTH).rsqrt()) @ turn.T
    return list(nearest.split_with_sizes([side.shape[1] for side in sides], 1))
