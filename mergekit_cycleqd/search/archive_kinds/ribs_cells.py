"""Cells that an archive of ribs keeps: a grid, or cells around centroids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.archive_kinds.base import Cells, EntryThreshold, Model
from mergekit_cycleqd.search.archive_kinds.centroids import (
    cells_at,
    centroids_of,
    on_lattice,
    within_reach,
)
from mergekit_cycleqd.search.cells import cell_numbers
from mergekit_cycleqd.search.worth import Worth


@dataclass(frozen=True)
class GridThreshold(EntryThreshold):
    """What a candidate must reach to enter a grid.

    Attributes:
        qualities: Worth of the score of each cell's elite, of shape (bins of each axis ...); -inf
            for an empty cell.
    """

    qualities: NDArray[np.float64]

    def places(self, measures: NDArray[np.float64]) -> NDArray[np.int32]:
        """Compute the number along each axis; see `EntryThreshold.places`."""
        return cell_numbers(measures, *self.limits, np.array(self.qualities.shape))

    def held_at(self, places: NDArray[np.int32]) -> NDArray[np.float64]:
        """Look the cells up; see `EntryThreshold.held_at`."""
        found: NDArray[np.float64] = self.qualities[tuple(np.moveaxis(places, -1, 0))]
        return found

    def lowest(self, corners: NDArray[np.float64]) -> float:
        """Look at every cell of the box."""
        first, last = cell_numbers(corners, *self.limits, np.array(self.qualities.shape))
        box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        return float(self.qualities[box].min())

    def cells_to_json(self) -> dict[str, Any]:
        """Write the filled cells, by their flat numbers."""
        return {"bins": self.qualities.shape, "filled": _filled(self.qualities)}


@dataclass(frozen=True)
class CVTThreshold(EntryThreshold):
    """What a candidate must reach to enter an archive of cells around centroids.

    Attributes:
        qualities: (cells,) worth of each cell's elite; -inf for an empty cell.
    """

    qualities: NDArray[np.float64]

    def places(self, measures: NDArray[np.float64]) -> NDArray[np.int32]:
        """Find the nearest centroids; see `EntryThreshold.places`."""
        points = on_lattice(measures, *self.limits).reshape(-1, len(self.axes))
        return cells_at(points, len(self.qualities)).reshape(*measures.shape[:-1], 1)

    def held_at(self, places: NDArray[np.int32]) -> NDArray[np.float64]:
        """Look the cells up; see `EntryThreshold.held_at`."""
        found: NDArray[np.float64] = self.qualities[places[..., 0]]
        return found

    def lowest(self, corners: NDArray[np.float64]) -> float:
        """Look at every cell that the box may touch."""
        lowest, highest = on_lattice(corners, *self.limits)
        centroids = centroids_of(len(self.qualities), len(self.axes))
        return float(self.qualities[within_reach(lowest, highest, centroids)].min())

    def cells_to_json(self) -> dict[str, Any]:
        """Write the filled cells, by their numbers."""
        return {"cells": len(self.qualities), "filled": _filled(self.qualities)}


class RibsCells(Cells[Model]):
    """Cells in an archive of ribs, which keeps room for all of them."""

    def __init__(self, archive: Any, bins: Sequence[int] | None) -> None:
        """Take an archive.

        Args:
            archive: Of ribs, empty.
            bins: Cells along each axis of a grid; None for cells around centroids.
        """
        self._archive = archive
        self._bins = None if bins is None else tuple(bins)

    @classmethod
    def grid(cls, bins: Sequence[int], ranges: Sequence[tuple[float, float]]) -> RibsCells[Model]:
        """Make an empty grid, with so many cells along each axis."""
        # Imported here: ribs imports torch if it is installed, which takes seconds.
        from mergekit_cycleqd.search.archive_kinds.on_ribs import RightClosedGrid

        grid = RightClosedGrid(solution_dim=(), dims=bins, ranges=ranges, solution_dtype=object)
        return cls(grid, bins)

    @classmethod
    def cvt(cls, cells: int, ranges: Sequence[tuple[float, float]]) -> RibsCells[Model]:
        """Make so many empty cells around centroids."""
        from mergekit_cycleqd.search.archive_kinds.on_ribs import LatticeCVT

        return cls(LatticeCVT(centroids_of(cells, len(ranges)), ranges), None)

    @property
    def count(self) -> int:
        """How many cells there are."""
        return int(self._archive.cells)

    @property
    def models(self) -> list[Model]:
        """The model of every filled cell, in any order."""
        return list(self._archive.data("solution"))

    @property
    def total(self) -> float:
        """Sum of the qualities of all models."""
        return float(self._archive.stats.qd_score)

    def add(self, model: Model, quality: float, measures: Sequence[float]) -> bool:
        """Offer a model; see `Cells.add`."""
        return bool(self._archive.add_single(model, quality, measures)["status"])

    def refill(
        self, models: Sequence[Model], qualities: Sequence[float], measures: Sequence[Any]
    ) -> None:
        """Empty all cells, then offer models; see `Cells.refill`."""
        self._archive.clear()
        self._archive.add(models, qualities, measures)

    def cell_of(self, measures: Sequence[float]) -> tuple[int, ...]:
        """One number along each axis of a grid, else the number of the centroid."""
        index = self._archive.index_of_single(measures)
        if self._bins is None:
            return (int(index),)
        return tuple(int(i) for i in self._archive.int_to_grid_index([index])[0])

    def threshold(
        self,
        task: str,
        axes: tuple[str, ...],
        ranges: tuple[tuple[float, float], ...],
        worth: Worth,
    ) -> EntryThreshold:
        """What a candidate must reach to enter."""
        qualities = np.full(self.count if self._bins is None else self._bins, -np.inf)
        filled = self._archive.data(["index", "objective"])
        qualities.flat[filled["index"]] = filled["objective"]
        kind = CVTThreshold if self._bins is None else GridThreshold
        return kind(task, axes, ranges, qualities, worth=worth)


def from_filled(shape: Any, filled: dict[str, float]) -> NDArray[np.float64]:
    """Read the worths of all cells that `cells_to_json` wrote."""
    qualities = np.full(shape, -np.inf)
    for cell, quality in filled.items():
        qualities.flat[int(cell)] = quality
    return qualities


def _filled(qualities: NDArray[np.float64]) -> dict[int, float]:
    found = np.flatnonzero(np.isfinite(qualities))
    return {int(cell): float(qualities.flat[cell]) for cell in found}
