"""Isotropic merging, Iso-C and Iso-CTS (arXiv:2502.04959): all singular values are made equal."""

from __future__ import annotations

import torch
from torch import Tensor

COMMON = 0.8  # share of the directions that Iso-CTS takes from the sum, as in the paper


def iso_c(taus: Tensor) -> Tensor:
    """Merge in the common subspace.

    The sum of the task vectors is ``U diag(s) V^T``. The merge is ``mean(s) U V^T``. A coefficient
    scales it afterwards.

    Args:
        taus: (experts, m, n) task vectors of a matrix.
    """
    left, values, right = torch.linalg.svd(taus.double().sum(0), full_matrices=False)
    return (values.mean() * left @ right).to(taus.dtype)


def iso_cts(taus: Tensor, common: float = COMMON) -> Tensor:
    """Merge in the common subspace and in subspaces of each task.

    The k first singular directions of the sum stay; U_k has those of the outputs. Of each task
    vector's rest ``tau - U_k U_k^T tau`` come as many leading directions as fill the others' places
    in equal shares. All left vectors together, and all right ones, are replaced by the nearest
    orthonormal ones. All directions get the mean of the singular values that were taken.

    Args:
        taus: (experts, m, n) task vectors of a matrix.
        common: Which share of the directions is taken from the sum.
    """
    exact = taus.double()
    left, values, right = torch.linalg.svd(exact.sum(0), full_matrices=False)
    share = int((1 - common) * len(values)) // len(taus)
    kept = len(values) - share * len(taus)
    lefts, all_values, rights = [left[:, :kept]], [values[:kept]], [right[:kept]]
    rest = exact - left[:, :kept] @ (left[:, :kept].T @ exact)
    for tau in rest:
        own_left, own_values, own_right = torch.linalg.svd(tau, full_matrices=False)
        lefts.append(own_left[:, :share])
        all_values.append(own_values[:share])
        rights.append(own_right[:share])
    merged = _orthonormal(torch.cat(lefts, 1)) @ _orthonormal(torch.cat(rights))
    return (torch.cat(all_values).mean() * merged).to(taus.dtype)


def _orthonormal(matrix: Tensor) -> Tensor:
    """Find the nearest matrix whose singular values are all 1."""
    left, _, right = torch.linalg.svd(matrix, full_matrices=False)
    return left @ right
