"""The grid of an archive: ribs' GridArchive with the edges of the authors' released code."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ribs.archives import GridArchive


class RightClosedGrid(GridArchive):  # type: ignore[misc]
    """A ribs grid whose cells are closed on the right, as the authors' released code has them.

    A measure on an edge belongs to the cell below it (0.25 in four cells of [0, 1] to cell 0).
    """

    def index_of(self, measures: ArrayLike) -> NDArray[np.int32]:
        """Flat cell numbers of measures of shape (batch, measure_dim), as ribs defines them."""
        values = np.asarray(measures, dtype=self.dtypes["measures"])
        position = self.dims * (values - self.lower_bounds) / self.interval_size
        cells = np.ceil(position - self.epsilon) - 1
        inside = np.clip(cells, 0, self.dims - 1).astype(np.int32)
        indices: NDArray[np.int32] = self.grid_to_int_index(inside)
        return indices
