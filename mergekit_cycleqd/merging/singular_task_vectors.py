"""Task singular vectors: task vectors reduced to directions that are apart from each other's.

TSV-Merge (Gargiulo et al., CVPR 2025, arXiv:2412.00081). Experts may exclude each other by what
they write into the same directions. Of each matrix, the leading left and right singular vectors of
all experts are laid side by side and replaced by the orthonormal ones nearest to them; with its own
singular values between them they are an expert's task vector from then on. They are fixed by base
and experts alone, so that every operator of a genome stays linear.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import compute_dtype, task_vector

_NOTHING = 1e-3  # of the largest singular value: below may be directions of rounding alone
_ONE = 1e-8  # squared length of what two directions differ by, below which they are one


def singular_task_vectors(
    base: Tensor,
    experts: Sequence[Tensor | LowRank | None],
    share: float,
    basis: Callable[[Tensor], SingularDirections],
) -> list[Tensor | LowRank | None]:
    """What experts have for one tensor, with their task vectors apart.

    Args:
        base: The base's tensor.
        experts: Each one's own tensor, or its task vector in thin factors, or None for the base's.
        share: Of the directions of a matrix, how many each expert keeps, at most 1;
            ``1 / len(experts)`` gives each its part of the space.
        basis: Gives the singular directions of a task vector that is a dense matrix.

    Returns:
        In the dtype of the arithmetic: of matrices, thin factors; of tensors with less than two
        axes, the base and a ``1 / len(experts)`` of each task vector, whose sum is their mean.
    """
    if base.ndim < 2:
        start = base.to(compute_dtype(base.dtype))
        parts = [None if own is None else task_vector(base, own) / len(experts) for own in experts]
        return [None if part is None else start + part for part in parts]
    lead = kept_directions(share, min(as_matrix(base).shape))
    found: list[Tensor | LowRank | None] = [None] * len(experts)
    leading = {
        k: part
        for k, own in enumerate(experts)
        if own is not None and (part := _leading(base, own, lead, basis)).values.numel()
    }
    lefts = _orthonormalise([part.left for part in leading.values()])
    rights = _orthonormalise([part.right for part in leading.values()])
    exact = compute_dtype(base.dtype)
    for (k, part), left, right in zip(leading.items(), lefts, rights, strict=True):
        up, down = left * part.values, right.T.contiguous()
        found[k] = LowRank(up.to(exact), down.to(exact), 1.0)
    return found


def kept_directions(share: float, side: int) -> int:
    """How many whole directions a share of a matrix's `side` means, at least one."""
    return max(1, int(share * side + 1e-6))


class _Leading(NamedTuple):
    """The leading singular vectors and values of a task vector, in float64."""

    left: Tensor
    values: Tensor
    right: Tensor


def _leading(
    base: Tensor, own: Tensor | LowRank, lead: int, basis: Callable[[Tensor], SingularDirections]
) -> _Leading:
    """(m, r), (r,) and (n, r); r is at most `lead`, and 0 for a task vector of nothing."""
    tau = as_matrix(task_vector(base, own))
    known = own.singular_directions() if isinstance(own, LowRank) else basis(tau)
    values = known.values[:lead]
    values = values[values > _NOTHING * known.values[0]].to(tau.device)
    vectors, tau = known.vectors[:, : len(values)].to(tau.device).double(), tau.double()
    if tau.shape[0] >= tau.shape[1]:
        return _Leading(tau @ vectors / values, values, vectors)
    return _Leading(vectors, values, tau.T @ vectors / values)


def _orthonormalise(sides: Sequence[Tensor]) -> list[Tensor]:
    """The orthonormal columns nearest to all those given, in the same groups."""
    if len(sides) < 2:  # they are apart already
        return list(sides)
    joined = torch.cat(list(sides), 1)
    lengths, turn = torch.linalg.eigh(joined.T @ joined)
    nearest = joined @ (turn * lengths.clamp(min=_ONE).rsqrt()) @ turn.T
    return list(nearest.split_with_sizes([side.shape[1] for side in sides], 1))
