"""Early stopping: can a candidate still enter an archive, whatever its remaining samples score?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.archive_kinds.base import Bounds, EntryThreshold
from mergekit_cycleqd.search.archive_kinds.open import threshold_from_json

__all__ = ["Bounds", "CannotEnter", "EntryThreshold", "EntryThresholds"]


class CannotEnter(Exception):
    """Raised when no archive can take a candidate any more, or hardly any will.

    Attributes:
        bounds: Lowest and highest score that the candidate could still get on each task.
        samples: What each sample scored so far by task, NaN for the others, where that is known.
    """

    def __init__(
        self, bounds: Bounds, samples: Mapping[str, NDArray[np.float64]] | None = None
    ) -> None:
        super().__init__("no archive can take it any more")
        self.bounds = dict(bounds)
        self.samples = dict(samples or {})


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
                "lower": dict(threshold.worth.ranges),
                "known": dict(threshold.known),
                **threshold.cells_to_json(),
            }
            for threshold in self.archives
        ]

    @classmethod
    def from_json(cls, content: Sequence[Mapping[str, Any]]) -> EntryThresholds:
        """Read thresholds that `to_json` wrote."""
        return cls(tuple(threshold_from_json(one) for one in content))
