"""Archives of ribs: a grid with cells that are closed on the right, and one of centroids."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mergekit_cycleqd.search.archive_kinds.centroids import cells_at, on_lattice, side_of
from mergekit_cycleqd.search.archive_kinds.numba_settings import ignore_working_folder
from mergekit_cycleqd.search.cells import cell_numbers, cell_of

ignore_working_folder()

from ribs.archives import CVTArchive, GridArchive  # noqa: E402


class RightClosedGrid(GridArchive):  # type: ignore[misc]
    """A ribs grid whose cells are closed on the right, as in the authors' released code.

    Most children of a long run enter no cell. `add_single` sees that in microseconds.
    """

    def __init__(self, **settings: Any) -> None:
        """Make an empty grid with the settings of ribs' `GridArchive`."""
        self._held: dict[tuple[int, ...], float] | None = {}
        super().__init__(**settings)
        bounds = self.lower_bounds.tolist(), self.upper_bounds.tolist(), self.dims.tolist()
        self._axes = tuple(zip(*bounds, strict=True))

    def index_of(self, measures: ArrayLike) -> NDArray[np.int32]:
        """Compute ribs' flat cell numbers of measures of shape (batch, measure_dim)."""
        values = np.asarray(measures, dtype=self.dtypes["measures"])
        inside = cell_numbers(values, self.lower_bounds, self.upper_bounds, self.dims)
        indices: NDArray[np.int32] = self.grid_to_int_index(inside)
        return indices

    def add_single(
        self, solution: object, objective: float, measures: Sequence[float], **fields: Any
    ) -> dict[str, Any]:
        """Offer one solution, as ribs does; with status 0 alone if its cell holds as good a one."""
        held = self._objectives()
        cell = cell_of(measures, self._axes)
        if cell in held and objective <= held[cell]:
            return {"status": 0}
        info: dict[str, Any] = super().add_single(solution, objective, measures, **fields)
        if info["status"]:
            held[cell] = objective
        return info

    def add(self, *batch: Any, **fields: Any) -> Any:
        """Offer several solutions, as ribs does."""
        self._held = None
        return super().add(*batch, **fields)

    def clear(self) -> None:
        """Remove all solutions."""
        self._held = None
        super().clear()

    def _objectives(self) -> dict[tuple[int, ...], float]:
        """The objective of each filled cell."""
        if self._held is None:
            filled = self.data(["index", "objective"])
            cells = self.int_to_grid_index(filled["index"]).tolist() if len(self) else []
            objectives = filled["objective"].tolist()
            self._held = dict(zip(map(tuple, cells), objectives, strict=True))
        return self._held


class LatticeCVT(CVTArchive):  # type: ignore[misc]
    """A ribs CVT archive whose cells are the same on every machine."""

    def __init__(self, points: NDArray[np.float32], ranges: Sequence[tuple[float, float]]) -> None:
        """Make an empty archive.

        Args:
            points: (cells, axes) centroids on the lattice.
            ranges: Lowest and highest value of each axis. Values outside are clipped.
        """
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
        points = on_lattice(values, self.lower_bounds, self.upper_bounds)
        return cells_at(points, self.cells)
