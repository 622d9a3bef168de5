"""KnOTS (arXiv:2410.19735): task vectors are merged after a singular value decomposition of all.

TIES (arXiv:2306.01708) merges the aligned parts here.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

Merge = Callable[[Tensor], Tensor]
"""Merges what belongs to the experts, (experts, *shape) to (*shape)."""


def knots(taus: Tensor, merge: Merge, *, scaled: bool = False) -> Tensor:
    """Merge task vectors in their joint singular basis.

    ``[tau_1 .. tau_K] = U diag(s) [V_1^T .. V_K^T]``, the task vectors side by side. The merge is
    ``U diag(s) merge(V_1^T .. V_K^T)``.

    Args:
        taus: (experts, m, n) task vectors of a matrix.
        merge: Merges the aligned parts.
        scaled: Merge the parts ``diag(s) V_k^T`` instead, in which large directions are large.
    """
    side_by_side = torch.cat(list(taus.double()), dim=1)
    left, values, right = torch.linalg.svd(side_by_side, full_matrices=False)
    parts = torch.stack(right.chunk(len(taus), dim=1))
    if scaled:
        return (left @ merge(values[:, None] * parts)).to(taus.dtype)
    return (left @ (values[:, None] * merge(parts))).to(taus.dtype)


def ties(taus: Tensor, density: float) -> Tensor:
    """Trim, elect signs, and take the mean of those that agree.

    Each expert keeps its largest values. The sign of a place is that of the sum. The mean goes over
    the experts that have a value of this sign there.

    Args:
        taus: (experts, *shape) task vectors of a tensor, or other parts of experts.
        density: Which share of the values each expert keeps.
    """
    flat = taus.abs().flatten(1)
    kept = max(1, round(density * flat.shape[1]))
    least = flat.kthvalue(flat.shape[1] - kept + 1, dim=1).values
    trimmed = torch.where(taus.abs() >= least.view(-1, *[1] * (taus.ndim - 1)), taus, 0)
    agree = (trimmed.sign() == trimmed.sum(0).sign()) & (trimmed != 0)
    return (trimmed * agree).sum(0) / agree.sum(0).clamp(min=1)


def ties_of(density: float) -> Merge:
    """TIES with a density."""
    return partial(ties, density=density)
