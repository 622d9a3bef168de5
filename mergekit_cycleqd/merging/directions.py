"""Bases of task vectors, and their cache.

Mutation scales the singular directions of a task vector. For ``tau = U diag(s) V^T`` of m x n with
m >= n, ``U diag(s * m) V^T = tau V diag(m) V^T``, so only the orthogonal basis of the smaller side
is needed. It comes from the eigenvectors of the fp64 Gram matrix: less to compute and to keep
than a full SVD (see benchmarks/factors.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SingularDirections:
    """Singular directions of the smaller side of a task vector, by descending singular value.

    Attributes:
        vectors: (side, r) float32, orthonormal columns; the sign of a column is arbitrary, and
            without effect. Directions beyond the r have singular value zero.
        values: (r,) float64 singular values on the CPU, descending, in the order of the columns.
    """

    vectors: Tensor
    values: Tensor

    def leading(self, rank: int, energy: float) -> int:
        """How many leading directions `rank` or `energy` means for this tensor.

        Args:
            rank: At most this many; 0 for no limit.
            energy: The fewest that hold this share of the squared singular values; 0 for all.
        """
        full = len(self.values)
        if energy:
            held = self.values.square().cumsum(0)
            return int((held < energy * held[-1]).sum()) + 1
        return min(rank, full) or full


def as_matrix(tensor: Tensor) -> Tensor:
    """A tensor of two or more axes as the matrix ``[shape[0], -1]``."""
    return tensor.reshape(tensor.shape[0], -1)


def directions(tau: Tensor) -> SingularDirections:
    """The basis of a task vector: right singular vectors where m >= n, left ones elsewhere.

    Args:
        tau: (m, n) matrix, finite.

    Returns:
        All r = min(m, n) directions, with vectors on the device of `tau`.
    """
    wide = tau.shape[0] < tau.shape[1]
    side = tau.double() if not wide else tau.double().T
    gram = side.T @ side
    squares, vectors = torch.linalg.eigh(gram)
    return SingularDirections(
        vectors=vectors.flip(1).float().contiguous(),
        values=squares.clamp(min=0).sqrt().flip(0).cpu(),
    )
