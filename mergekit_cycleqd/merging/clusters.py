"""Clusters of repeated singular values, whose directions cannot be told apart.

Equal singular values have a span of directions in common, and any orthonormal basis of it will do.
Rounding chooses one, and so do the number of threads and the version of LAPACK. So all directions
of a cluster are scaled alike, and no limit cuts a cluster in two.

Directions are eigenvectors of the Gram matrix, which is known up to rounding, relative to the
largest square. So that decides beside the values' own gap. docs/mathematics.md says what follows.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

_GAP = 2e-9  # of squares: values whose relative gap is at most 1e-9 count as repeated
_ROUNDING = 1e-14  # of the largest square: ten times what threads and LAPACK drivers change
_SMALLEST = 1e-6  # of the largest value: in float32, smaller ones are rounding

Starts = NDArray[np.intp]


def cluster_starts(values: Tensor) -> Starts:
    """Find the first direction of each direction's cluster.

    Directions below 1e-7 of the largest value are rounding: each stands alone, since what is done
    to them has no effect.

    Args:
        values: (r,) singular values, descending, float64.

    Returns:
        (r,) indices: a direction that stands alone has its own.
    """
    squares = values.cpu().numpy() ** 2
    index = np.arange(len(squares))
    larger, smaller, rounding = squares[:-1], squares[1:], _ROUNDING * squares[:1]
    repeated = (larger - smaller <= _GAP * larger + rounding) & (smaller > rounding)
    index[1:][repeated] = 0
    return np.maximum.accumulate(index)


def smallest_gap(values: Tensor) -> float:
    """Find the smallest relative gap of two singular values that are more than rounding.

    Args:
        values: As in `cluster_starts`.
    """
    known = values[values > _SMALLEST * values[:1]]
    gaps = (known[:-1] - known[1:]) / known[:-1]
    return float(gaps.min()) if len(gaps) else math.inf


def cluster_end(starts: Starts, count: int) -> int:
    """Count directions up to the end of the cluster that the last of `count` belongs to."""
    return int(np.searchsorted(starts, starts[count - 1], side="right"))


def cluster_start(starts: Starts, count: int) -> int:
    """Count the directions before a cluster that `count` would cut; `count` if it cuts none."""
    return int(starts[count]) if count < len(starts) else count
