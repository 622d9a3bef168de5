"""Early stopping: can a candidate still enter an archive, whatever its remaining samples score?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.cells import cell_numbers
from mergekit_cycleqd.search.worth import Worth

Bounds = Mapping[str, tuple[float, float]]
"""The lowest and the highest score that each task can still get."""


class CannotEnter(Exception):
    """Raised when no archive can take a candidate any more.

    Attributes:
        bounds: Lowest and highest score that the candidate could still get on each task.
    """

    def __init__(self, bounds: Bounds) -> None:
        super().__init__("no archive can take it any more")
        self.bounds = dict(bounds)


@dataclass(frozen=True)
class EntryThreshold:
    """What a candidate must reach to enter one archive as it is at one moment.

    Attributes:
        task: The task whose score is the quality.
        axes: The measures, by task.
        ranges: Lowest and highest value of each axis.
        qualities: Worth of the score of each cell's elite, of shape (bins of each axis ...); -inf
            for an empty cell.
        worth: How good scores are.
        known: Measures of the candidate that are known beforehand, by name.
    """

    task: str
    axes: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    qualities: NDArray[np.float64]
    worth: Worth = field(default_factory=Worth)
    known: Mapping[str, float] = field(default_factory=dict)

    def reachable(self, bounds: Bounds) -> bool:
        """Whether scores within `bounds` can reach an empty cell or a cell with a worse elite."""
        corners = np.array([self._bounds(bounds, axis) for axis in self.axes], dtype=np.float64).T
        low, high = np.array(self.ranges, dtype=np.float64).T
        first, last = cell_numbers(corners, low, high, np.array(self.qualities.shape))
        box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        return bool(self.qualities[box].min() < self.worth.highest(self.task, bounds[self.task]))

    def _bounds(self, bounds: Bounds, axis: str) -> tuple[float, float]:
        """What a measure lies between; what a task reports beside its score may be anything."""
        if axis in self.known:
            return self.known[axis], self.known[axis]
        return bounds.get(axis, (-math.inf, math.inf))


@dataclass(frozen=True)
class EntryThresholds:
    """The thresholds of all archives at one moment.

    An archive never gets worse: a filled cell stays filled, and its elite is only replaced by a
    better one. So a candidate that cannot enter now cannot enter later. This does not hold if
    elites are evaluated again; the schema therefore does not allow both in one run.
    """

    archives: tuple[EntryThreshold, ...]

    def knowing(self, measures: Mapping[str, float]) -> EntryThresholds:
        """The thresholds for a candidate of which these measures are known."""
        if not measures:
            return self
        return EntryThresholds(tuple(replace(a, known=measures) for a in self.archives))

    def check(self, bounds: Bounds) -> None:
        """Check that an archive can still take a candidate.

        Raises:
            CannotEnter: If no scores within `bounds` can enter an archive.
        """
        if not any(threshold.reachable(bounds) for threshold in self.archives):
            raise CannotEnter(bounds)

    def to_json(self) -> list[dict[str, Any]]:
        """Write the thresholds as JSON values for another process, with filled cells only."""
        return [
            {
                "task": threshold.task,
                "axes": threshold.axes,
                "ranges": threshold.ranges,
                "bins": threshold.qualities.shape,
                "lower": dict(threshold.worth.ranges),
                "known": dict(threshold.known),
                "filled": {
                    int(cell): float(threshold.qualities.flat[cell])
                    for cell in np.flatnonzero(np.isfinite(threshold.qualities))
                },
            }
            for threshold in self.archives
        ]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> EntryThresholds:
        """Read thresholds that `to_json` wrote."""
        archives = []
        for one in content:
            qualities = np.full(one["bins"], -np.inf)
            for cell, quality in one["filled"].items():
                qualities.flat[int(cell)] = quality
            ranges = tuple((low, high) for low, high in one["ranges"])
            lower = {task: (low, high) for task, (low, high) in one["lower"].items()}
            about = (one["task"], tuple(one["axes"]), ranges, qualities)
            archives.append(EntryThreshold(*about, Worth(lower), one["known"]))
        return cls(tuple(archives))
