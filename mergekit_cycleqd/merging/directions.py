"""Singular directions of task vectors.

Mutation scales the singular directions of a task vector. For ``tau = U diag(s) V^T`` of m x n with
m >= n, ``U diag(s * m) V^T = tau V diag(m) V^T``. So only the singular vectors of the smaller side
are needed. They are the eigenvectors of the Gram matrix in float64, which takes less time and
memory than a full SVD (see benchmarks/factors.py).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class SingularDirections:
    """Singular directions of the smaller side of a task vector, by descending singular value.

    Attributes:
        vectors: (side, r) orthonormal columns, float32. The sign of a column is arbitrary and has
            no effect. All directions that are left out have singular value zero.
        values: (r,) singular values of the columns, descending, float64, on the CPU.
    """

    vectors: Tensor
    values: Tensor

    def leading(self, rank: int, energy: float) -> int:
        """Count the leading directions that `rank` or `energy` selects.

        Args:
            rank: Largest number of directions; 0 for no limit.
            energy: Share of the squared singular values that the directions must hold; 0 for all
                directions.
        """
        full = len(self.values)
        if energy:
            held = self.values.square().cumsum(0)
            return int((held < energy * held[-1]).sum()) + 1
        return min(rank, full) or full


def as_matrix(tensor: Tensor) -> Tensor:
    """View a tensor of two or more axes as the matrix ``[shape[0], -1]``."""
    return tensor.reshape(tensor.shape[0], -1)


def directions(tau: Tensor) -> SingularDirections:
    """Compute the singular directions of a task vector: right ones if m >= n, else left ones.

    Args:
        tau: The task vector, a finite (m, n) matrix.

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
