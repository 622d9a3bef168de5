"""The grid of an archive: ribs' GridArchive with cells that are closed on the right."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ribs.archives import GridArchive

from mergekit_cycleqd.search.cells import cell_numbers


class RightClosedGrid(GridArchive):  # type: ignore[misc]
    """A ribs grid whose cells are closed on the right, as in the authors' released code."""

    def index_of(self, measures: ArrayLike) -> NDArray[np.int32]:
        """Compute ribs' flat cell numbers of measures of shape (batch, measure_dim)."""
        values = np.asarray(measures, dtype=self.dtypes["measures"])
        inside = cell_numbers(values, self.lower_bounds, self.upper_bounds, self.dims)
        indices: NDArray[np.int32] = self.grid_to_int_index(inside)
        return indices
