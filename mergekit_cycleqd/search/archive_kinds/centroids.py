"""Centroids of a Voronoi tessellation, and the nearest of each point, exact on every machine.

All coordinates are whole numbers from 0 to `side_of(axes)`. Squared distances and sums are then
whole numbers below 2**24. Float32 holds them exactly, whatever the order in which a library adds.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

SAMPLES = 10  # points per cell, of which the centroids are means
ROUNDS = 5  # of Lloyd's algorithm; later ones move centroids little
_LARGEST = 2**22  # of a squared distance; four times that is the largest number on the way
_KEPT = 64  # kinds of archives of a process whose centroids are kept; a run has one to a few
_BLOCK = 128  # points whose distances are computed together, so that they stay in the cache


def side_of(axes: int) -> int:
    """Largest coordinate of the lattice: a power of two, smaller for more axes."""
    return int(2 ** (int(math.log2(_LARGEST / axes)) // 2))


def on_lattice(
    measures: NDArray[np.float64], low: NDArray[np.float64], high: NDArray[np.float64]
) -> NDArray[np.float32]:
    """Bring measures of shape (..., axes) to the lattice. Those outside the range are clipped."""
    place = (np.clip(measures, low, high) - low) / (high - low)
    return np.rint(place * side_of(measures.shape[-1])).astype(np.float32)


def nearest(points: NDArray[np.float32], centroids: NDArray[np.float32]) -> NDArray[np.int32]:
    """Number of the centroid that is nearest to each point; of equals the first.

    Args:
        points: (n, axes) on the lattice.
        centroids: (cells, axes) on the lattice.

    Returns:
        (n,) numbers.
    """
    return _nearest(points, _sides(centroids))


def _sides(centroids: NDArray[np.float32]) -> NDArray[np.float32]:
    """The least of |p - c|^2 is the largest of 2 p c - |c|^2, a product of one more column."""
    return np.column_stack([centroids, -(centroids**2).sum(axis=1)]).T


def _nearest(points: NDArray[np.float32], sides: NDArray[np.float32]) -> NDArray[np.int32]:
    rows = np.column_stack([2 * points, np.ones(len(points), dtype=np.float32)])
    blocks = [np.argmax(rows[i : i + _BLOCK] @ sides, axis=1) for i in range(0, len(rows), _BLOCK)]
    return np.concatenate(blocks).astype(np.int32) if blocks else np.empty(0, dtype=np.int32)


def within_reach(
    lowest: NDArray[np.float32], highest: NDArray[np.float32], centroids: NDArray[np.float32]
) -> NDArray[np.bool_]:
    """Find the cells that a box of points may touch: all that it touches, and maybe a few more.

    The nearest centroid of any point is no farther than the least, over all centroids, of the
    distance to the box's farthest corner.

    Args:
        lowest: (axes,) least coordinates of the box.
        highest: (axes,) largest coordinates.
        centroids: (cells, axes) on the lattice.

    Returns:
        (cells,) whether the box may touch it.
    """
    beside = np.maximum(np.maximum(lowest - centroids, centroids - highest), 0.0)
    across = np.maximum(np.abs(centroids - lowest), np.abs(centroids - highest))
    found: NDArray[np.bool_] = (beside**2).sum(axis=1) <= (across**2).sum(axis=1).min()
    return found


@lru_cache(maxsize=_KEPT)
def centroids_of(cells: int, axes: int) -> NDArray[np.float32]:
    """Compute centroids that are spread evenly over the unit cube (Vassiliades et al. 2018).

    Args:
        cells: How many.
        axes: Dimensions of the cube.

    Returns:
        (cells, axes) whole numbers on the lattice; always the same for the same arguments.
    """
    raw = np.random.Philox(key=[cells, axes]).random_raw(SAMPLES * cells * axes)
    bits = int(math.log2(side_of(axes)))
    points = (raw >> np.uint64(64 - bits)).astype(np.float32).reshape(-1, axes)
    found = points[:cells].copy()
    for _ in range(ROUNDS):
        own = nearest(points, found)
        counts = np.bincount(own, minlength=cells)
        for axis in range(axes):
            sums = np.bincount(own, weights=points[:, axis], minlength=cells)
            means = np.rint(sums / np.maximum(counts, 1))
            found[:, axis] = np.where(counts, means, found[:, axis])
    found.setflags(write=False)
    return found


@lru_cache(maxsize=_KEPT)
def _sides_of(cells: int, axes: int) -> NDArray[np.float32]:
    return _sides(centroids_of(cells, axes))


def cells_at(points: NDArray[np.float32], cells: int) -> NDArray[np.int32]:
    """Number of the nearest of so many centroids, as `centroids_of` gives them, of each point.

    Args:
        points: (n, axes) on the lattice.
        cells: How many centroids there are.

    Returns:
        (n,) numbers; of centroids that are equally near the first.
    """
    return _nearest(points, _sides_of(cells, points.shape[1]))
