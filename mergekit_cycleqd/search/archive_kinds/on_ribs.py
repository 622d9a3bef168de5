"""Archives of ribs: a grid with cells that are closed on the right, and one of centroids."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ribs.archives import CVTArchive, GridArchive

from mergekit_cycleqd.search.archive_kinds.centroids import nearest, on_lattice, side_of
from mergekit_cycleqd.search.cells import cell_numbers


class RightClosedGrid(GridArchive):  # type: ignore[misc]
    """A ribs grid whose cells are closed on the right, as in the authors' released code."""

    def index_of(self, measures: ArrayLike) -> NDArray[np.int32]:
        """Compute ribs' flat cell numbers of measures of shape (batch, measure_dim)."""
        values = np.asarray(measures, dtype=self.dtypes["measures"])
        inside = cell_numbers(values, self.lower_bounds, self.upper_bounds, self.dims)
        indices: NDArray[np.int32] = self.grid_to_int_index(inside)
        return indices


class LatticeCVT(CVTArchive):  # type: ignore[misc]
    """A ribs CVT archive whose cells are the same on every machine."""

    def __init__(self, points: NDArray[np.float32], ranges: Sequence[tuple[float, float]]) -> None:
        """Make an empty archive.

        Args:
            points: (cells, axes) centroids on the lattice.
            ranges: Lowest and highest value of each axis. Values outside are clipped.
        """
        self.points = points
        low, high = np.array(ranges, dtype=np.float64).T
        super().__init__(
            solution_dim=(),
            centroids=low + points / side_of(len(low)) * (high - low),
            ranges=ranges,
            solution_dtype=object,
            nearest_neighbors="brute_force",
        )

    def index_of(self, measures: ArrayLike) -> NDArray[np.int32]:
        """Compute the cells of measures of shape (batch, measure_dim)."""
        values = np.asarray(measures, dtype=self.dtypes["measures"])
        return nearest(on_lattice(values, self.lower_bounds, self.upper_bounds), self.points)
