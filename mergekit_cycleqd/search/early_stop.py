"""What a candidate has to reach: whether, whatever is still to come, it can enter an archive."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.cells import cell_numbers

Bounds = Mapping[str, tuple[float, float]]


"""The lowest and the highest score that each task can still get."""


class CannotEnter(Exception):
    """A candidate that no archive can take any more.

    Attributes:
        bounds: What its scores lie between.
    """

    def __init__(self, bounds: Bounds) -> None:
        """With these bounds."""
        super().__init__("no archive can take it any more")
        self.bounds = dict(bounds)


@dataclass(frozen=True)
class EntryThreshold:
    """One archive at one moment.

    Attributes:
        task: Whose score is the quality.
        axes: The measures, by task.
        ranges: Lowest and highest value of each axis.
        qualities: The quality of each cell's elite, shape (bins of each axis ...); -inf where a
            cell is empty.
    """

    task: str
    axes: tuple[str, ...]
    ranges: tuple[tuple[float, float], ...]
    qualities: NDArray[np.float64]

    def reachable(self, bounds: Bounds) -> bool:
        """Whether scores within `bounds` may find a cell that is empty or has a worse elite."""
        corners = np.array([bounds[axis] for axis in self.axes], dtype=np.float64).T
        low, high = np.array(self.ranges, dtype=np.float64).T
        first, last = cell_numbers(corners, low, high, np.array(self.qualities.shape))
        box = tuple(slice(a, b + 1) for a, b in zip(first, last, strict=True))
        return bool(self.qualities[box].min() < bounds[self.task][1])


@dataclass(frozen=True)
class EntryThresholds:
    """All archives at one moment.

    An archive only gets better: a cell stays filled, by an elite that is never worse. What cannot
    enter now cannot enter later, whatever is told in between. (Not so where elites are evaluated
    again, which the schema therefore keeps apart from stopping early.)
    """

    archives: tuple[EntryThreshold, ...]

    def check(self, bounds: Bounds) -> None:
        """Look whether a candidate can still be kept.

        Raises:
            CannotEnter: If no archive can take it, whatever its scores within `bounds` are.
        """
        if not any(threshold.reachable(bounds) for threshold in self.archives):
            raise CannotEnter(bounds)

    def to_json(self) -> list[dict[str, Any]]:
        """For another process: of the cells only those that are filled."""
        return [
            {
                "task": threshold.task,
                "axes": threshold.axes,
                "ranges": threshold.ranges,
                "bins": threshold.qualities.shape,
                "filled": {
                    int(cell): float(threshold.qualities.flat[cell])
                    for cell in np.flatnonzero(np.isfinite(threshold.qualities))
                },
            }
            for threshold in self.archives
        ]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> EntryThresholds:
        """Read what `to_json` wrote."""
        archives = []
        for one in content:
            qualities = np.full(one["bins"], -np.inf)
            for cell, quality in one["filled"].items():
                qualities.flat[int(cell)] = quality
            ranges = tuple((low, high) for low, high in one["ranges"])
            archives.append(EntryThreshold(one["task"], tuple(one["axes"]), ranges, qualities))
        return cls(tuple(archives))
