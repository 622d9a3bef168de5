"""A grid that keeps filled cells alone, so that it may have any number of cells."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.archive_kinds.base import Cells, EntryThreshold, Model
from mergekit_cycleqd.search.cells import cell_numbers
from mergekit_cycleqd.search.worth import Worth

Cell = tuple[int, ...]


@dataclass(frozen=True)
class SparseThreshold(EntryThreshold):
    """What a candidate must reach to enter a sparse grid.

    Attributes:
        bins: Cells along each axis.
        cells: (n, axes) numbers of the filled cells along each axis.
        qualities: (n,) worth of the elite of each.
    """

    bins: tuple[int, ...]
    cells: NDArray[np.int32]
    qualities: NDArray[np.float64]

    def places(self, measures: NDArray[np.float64]) -> NDArray[np.int32]:
        """Compute the number along each axis; see `EntryThreshold.places`."""
        return cell_numbers(measures, *self.limits, np.array(self.bins))

    def held_at(self, places: NDArray[np.int32]) -> NDArray[np.float64]:
        """Look the cells up; see `EntryThreshold.held_at`."""
        known = dict(zip(_keys(self.cells), self.qualities.tolist(), strict=True))
        keys = _keys(places.reshape(-1, len(self.bins)))
        found = np.array([known.get(key, -math.inf) for key in keys])
        return found.reshape(places.shape[:-1])

    def lowest(self, corners: NDArray[np.float64]) -> float:
        """Count the filled cells of the box, and look at them if they are all."""
        first, last = cell_numbers(corners, *self.limits, np.array(self.bins))
        inside = ((self.cells >= first) & (self.cells <= last)).all(axis=1)
        if np.count_nonzero(inside) < math.prod((last - first + 1).tolist()):
            return -math.inf
        return float(self.qualities[inside].min())

    def cells_to_json(self) -> dict[str, Any]:
        """Write the filled cells, each as its numbers and its worth."""
        return {"grid": self.bins, "cells": self.cells.tolist(), "filled": self.qualities.tolist()}


class SparseCells(Cells[Model]):
    """The filled cells of a grid, by their numbers. It holds what a whole grid would hold."""

    def __init__(self, bins: Sequence[int], ranges: Sequence[tuple[float, float]]) -> None:
        """Make an empty grid, with so many cells along each axis."""
        self._bins = tuple(bins)
        self._low, self._high = np.array(ranges, dtype=np.float64).T
        self._filled: dict[Cell, tuple[Model, float]] = {}
        self._total = 0.0

    @property
    def count(self) -> int:
        """How many cells there are."""
        return math.prod(self._bins)

    @property
    def models(self) -> list[Model]:
        """The model of every filled cell, in any order."""
        return [model for model, _ in self._filled.values()]

    @property
    def total(self) -> float:
        """Sum of the qualities of all models, added up as ribs does it."""
        return self._total

    def add(self, model: Model, quality: float, measures: Sequence[float]) -> bool:
        """Offer a model; see `Cells.add`."""
        cell = self.cell_of(measures)
        held = self._filled.get(cell)
        if held is not None and not held[1] < quality:
            return False
        self._filled[cell] = (model, quality)
        self._total = self._total + quality - (0.0 if held is None else held[1])
        return True

    def refill(
        self, models: Sequence[Model], qualities: Sequence[float], measures: Sequence[Any]
    ) -> None:
        """Empty all cells, then offer models; see `Cells.refill`."""
        self._filled = {}
        for model, quality, each in zip(models, qualities, measures, strict=True):
            self.add(model, quality, each)
        ordered = [self._filled[cell][1] for cell in sorted(self._filled)]
        self._total = float(np.sum(np.array(ordered)))

    def cell_of(self, measures: Sequence[float]) -> Cell:
        """One number along each axis."""
        values = np.array([measures], dtype=np.float64)
        found = cell_numbers(values, self._low, self._high, np.array(self._bins))
        return tuple(int(number) for number in found[0])

    def threshold(
        self,
        task: str,
        axes: tuple[str, ...],
        ranges: tuple[tuple[float, float], ...],
        worth: Worth,
    ) -> EntryThreshold:
        """What a candidate must reach to enter."""
        cells = np.array(list(self._filled), dtype=np.int32).reshape(-1, len(self._bins))
        qualities = np.array([quality for _, quality in self._filled.values()])
        return SparseThreshold(task, axes, ranges, self._bins, cells, qualities, worth=worth)


def _keys(cells: NDArray[np.int32]) -> list[bytes]:
    """The numbers of (n, axes) cells as bytes, by which a dictionary finds them."""
    rows = np.ascontiguousarray(cells, dtype=np.int16)
    width = 2 * rows.shape[1]
    whole = rows.tobytes()
    return [whole[i : i + width] for i in range(0, len(whole), width)]
