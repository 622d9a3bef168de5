"""Singular directions of task vectors.

Mutation scales the singular directions of a task vector. For ``tau = U diag(s) V^T`` of m x n with
m >= n, ``U diag(s * m) V^T = tau V diag(m) V^T``. So only the singular vectors of the smaller side
are needed. They are the eigenvectors of the Gram matrix in float64, which takes less time and
memory than a full SVD (see benchmarks/factors.py).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from mergekit_cycleqd.merging.clusters import (
    Starts,
    cluster_end,
    cluster_start,
    cluster_starts,
    smallest_gap,
)
from mergekit_cycleqd.merging.float64 import in_float64, placed

_CLOSE = 1.2e-3  # of `gap`: there, rounding to float32 changes a mutated tensor by 4e-6
_TIE = 1e-12  # of the energy: rounding does not decide whether a share is reached exactly


@dataclass(frozen=True)
class SingularDirections:
    """Singular directions of the smaller side of a task vector, by descending singular value.

    Attributes:
        vectors: (side, r) orthonormal columns, float32; float64 if values are `close`. The sign of
            a column is arbitrary and has no effect. All directions that are left out have singular
            value zero.
        values: (r,) singular values of the columns, descending, float64, on the CPU.
    """

    vectors: Tensor
    values: Tensor

    @classmethod
    def of(cls, vectors: Tensor, values: Tensor) -> SingularDirections:
        """Round float64 vectors to float32, unless `close` values make that a matter of chance.

        Args:
            vectors: (side, r) orthonormal columns, float64.
            values: (r,) singular values of the columns, descending, float64.
        """
        found = cls(vectors.contiguous(), values.cpu())
        return found if found.close else cls(vectors.float().contiguous(), found.values)

    @cached_property
    def starts(self) -> Starts:
        """(r,) the first direction of each one's cluster, as in `cluster_starts`."""
        return cluster_starts(self.values)

    @property
    def repeated(self) -> bool:
        """Whether there is a cluster of two or more directions."""
        return bool((self.starts != np.arange(len(self.starts))).any())

    @cached_property
    def gap(self) -> float:
        """Smallest relative gap of two values, times the side of the matrix.

        Rounding of the matrix turns two directions by its unit over this number.
        """
        return smallest_gap(self.values) * len(self.vectors)

    @property
    def close(self) -> bool:
        """Whether values are repeated, or so close that rounding to float32 turns directions."""
        return self.repeated or self.gap < _CLOSE

    def leading(self, rank: int, energy: float) -> int:
        """Count the leading directions that `rank` or `energy` selects, in whole clusters.

        Args:
            rank: Largest number of directions; 0 for no limit. A first cluster that is larger
                counts whole.
            energy: Share of the squared singular values that the directions must hold; 0 for all
                directions.
        """
        full = len(self.values)
        if energy:
            held = self.values.square().cumsum(0)
            needed = (energy - _TIE if energy < 1 else energy) * held[-1]
            return self.whole(int((held < needed).sum()) + 1)
        count = min(rank, full) or full
        return cluster_start(self.starts, count) or self.whole(count)

    def whole(self, count: int) -> int:
        """Count directions up to the end of a cluster: `count` of them, or somewhat more."""
        return cluster_end(self.starts, count)


def as_matrix(tensor: Tensor) -> Tensor:
    """View a tensor of two or more axes as the matrix ``[shape[0], -1]``."""
    return tensor.reshape(tensor.shape[0], -1)


def directions(tau: Tensor) -> SingularDirections:
    """Compute the singular directions of a task vector: right ones if m >= n, else left ones.

    Args:
        tau: The task vector, a finite (m, n) matrix.

    Returns:
        All r = min(m, n) directions, with vectors on the device of `tau` if it can hold them.
    """
    wide = tau.shape[0] < tau.shape[1]
    exact = in_float64(tau)
    side = exact if not wide else exact.T
    gram = side.T @ side
    squares, vectors = torch.linalg.eigh(gram)
    found = SingularDirections.of(vectors.flip(1), squares.clamp(min=0).sqrt().flip(0))
    return replace(found, vectors=placed(found.vectors, tau.device))
