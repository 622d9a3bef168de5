"""The interface of all kinds of archives, and of what a candidate must reach to enter one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.worth import Worth

Model = TypeVar("Model")
Bounds = Mapping[str, tuple[float, float]]
"""The lowest and the highest score that each task can still get."""


@dataclass(frozen=True)
class EntryThreshold(ABC):
    """What a candidate must reach to enter one archive as it is at one moment.

    Attributes:
        task: The task whose score is the quality.
        axes: Names of the measures.
        ranges: Lowest and highest value of each axis.
        worth: How good scores are.
        known: Measures of the candidate that are known beforehand, by name.
    """

    task: str
    axes: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    worth: Worth = field(default_factory=Worth, kw_only=True)
    known: Mapping[str, float] = field(default_factory=dict, kw_only=True)

    def reachable(self, bounds: Bounds) -> bool:
        """Whether scores within `bounds` can reach an empty cell or a cell with a worse elite."""
        corners = np.array([self._bounds(bounds, axis) for axis in self.axes], dtype=np.float64).T
        return self.lowest(corners) < self.worth.highest(self.task, bounds[self.task])

    def _bounds(self, bounds: Bounds, axis: str) -> tuple[float, float]:
        """What a measure lies between; what a task reports beside its score may be anything."""
        if axis in self.known:
            return self.known[axis], self.known[axis]
        return bounds.get(axis, (-math.inf, math.inf))

    @property
    def limits(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Lowest and highest value of the axes, (axes,) each."""
        low, high = np.array(self.ranges, dtype=np.float64).T
        return low, high

    def held(self, measures: NDArray[np.float64]) -> NDArray[np.float64]:
        """Worth of the elite in the cell of each of some measures; -inf for an empty cell.

        Args:
            measures: (..., axes) values.

        Returns:
            (...) values.
        """
        return self.held_at(self.places(measures))

    @abstractmethod
    def places(self, measures: NDArray[np.float64]) -> NDArray[np.int32]:
        """The cell of each of some measures, as numbers.

        Args:
            measures: (..., axes) values.

        Returns:
            (..., n) numbers, of which an archive with a grid has one for each axis.
        """

    @abstractmethod
    def held_at(self, places: NDArray[np.int32]) -> NDArray[np.float64]:
        """Worth of the elite in each of some cells; -inf for an empty cell.

        Args:
            places: (..., n) numbers, as `places` gives them.

        Returns:
            (...) values.
        """

    @abstractmethod
    def lowest(self, corners: NDArray[np.float64]) -> float:
        """The least worth of an elite in the cells that a box of measures touches; -inf if empty.

        Args:
            corners: (2, axes) lowest and highest measures; may be infinite.
        """

    @abstractmethod
    def cells_to_json(self) -> dict[str, Any]:
        """Write the cells as JSON values for another process."""


class Cells(ABC, Generic[Model]):
    """The cells of an archive. Each keeps the best model of those that were offered to it."""

    @property
    @abstractmethod
    def count(self) -> int:
        """How many cells there are."""

    @property
    @abstractmethod
    def models(self) -> list[Model]:
        """The model of every filled cell, in any order."""

    @property
    @abstractmethod
    def total(self) -> float:
        """Sum of the qualities of all models."""

    @abstractmethod
    def add(self, model: Model, quality: float, measures: Sequence[float]) -> bool:
        """Offer a model; True if it filled an empty cell or replaced a worse model."""

    @abstractmethod
    def refill(
        self, models: Sequence[Model], qualities: Sequence[float], measures: Sequence[Any]
    ) -> None:
        """Empty all cells, then offer models in their order; the first of equals stays."""

    @abstractmethod
    def cell_of(self, measures: Sequence[float]) -> tuple[int, ...]:
        """The cell of some measures, as numbers."""

    @abstractmethod
    def threshold(
        self,
        task: str,
        axes: tuple[str, ...],
        ranges: tuple[tuple[float, float], ...],
        worth: Worth,
    ) -> EntryThreshold:
        """What a candidate must reach to enter; the arguments are attributes of the result."""
