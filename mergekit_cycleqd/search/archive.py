"""Archives: one grid of elites per task, as in MAP-Elites."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.later import holds_genome
from mergekit_cycleqd.search.early_stop import EntryThreshold
from mergekit_cycleqd.search.worth import Worth

T = TypeVar("T")


@holds_genome
@dataclass(frozen=True, slots=True)
class Elite:
    """A model that holds a cell of an archive.

    Attributes:
        index: Number of the candidate.
        genome: The model.
        scores: Score on the search samples of every task, by the task's name. After several
            evaluations it is their mean.
        parents: Numbers of the parents; empty for an expert.
        evaluations: How many evaluations the scores are the mean of.
    """

    index: int
    genome: Genome
    scores: Mapping[str, float]
    parents: tuple[int, ...]
    evaluations: int = 1


class TaskArchive:
    """The elites of one task. Its score is the quality; other tasks' scores are the measures."""

    def __init__(
        self,
        task: str,
        axes: Sequence[str],
        bins: Sequence[int],
        ranges: Sequence[tuple[float, float]],
        worth: Worth = Worth(),  # noqa: B008 - it cannot be changed
    ) -> None:
        """Make an empty archive.

        Args:
            task: The task whose score is the quality.
            axes: The measures, which are the other tasks, in the recipe's order.
            bins: Cells along each axis.
            ranges: Lowest and highest value of each axis. Values outside are clipped.
            worth: How good scores are, on every task.
        """
        self.task = task
        self.worth = worth
        self.axes = tuple(axes)
        self._computed: dict[str, Any] = {}
        # Imported here: ribs imports torch if it is installed, which takes seconds.
        from mergekit_cycleqd.search.right_closed_grid import RightClosedGrid

        self._grid = RightClosedGrid(
            solution_dim=(), dims=bins, ranges=ranges, solution_dtype=object
        )

    def add(self, elite: Elite) -> bool:
        """Offer a candidate; True if it filled an empty cell or replaced a worse elite."""
        measures = [elite.scores[axis] for axis in self.axes]
        info = self._grid.add_single(elite, self._quality(elite), measures)
        if info["status"]:
            self._computed.clear()
        return bool(info["status"])

    def refill(self, elites: Sequence[Elite]) -> None:
        """Empty the archive, then offer candidates in their order.

        Args:
            elites: One or more candidates.
        """
        self._computed.clear()
        self._grid.clear()
        self._grid.add(  # the first of equals in a cell stays, as with `add`
            elites,
            [self._quality(elite) for elite in elites],
            [[elite.scores[axis] for axis in self.axes] for elite in elites],
        )

    def _quality(self, elite: Elite) -> float:
        return self.worth.of(self.task, elite.scores[self.task])

    @property
    def elites(self) -> list[Elite]:
        """All elites, best first; the older of equals first."""
        found: list[Elite] = self.computed(
            "elites",
            lambda: sorted(self.unsorted, key=lambda e: (-self._quality(e), e.index)),
        )
        return list(found)

    def computed(self, name: str, compute: Callable[[], T]) -> T:
        """What was computed of the elites under a name. It is kept until an elite changes."""
        if name not in self._computed:
            self._computed[name] = compute()
        found: T = self._computed[name]
        return found

    @property
    def unsorted(self) -> list[Elite]:
        """All elites in any order."""
        return list(self._grid.data("solution"))

    def cell_of(self, elite: Elite) -> tuple[int, ...]:
        """The cell of an elite, as one number along each axis."""
        index = self._grid.index_of_single([elite.scores[axis] for axis in self.axes])
        return tuple(int(i) for i in self._grid.int_to_grid_index([index])[0])

    @property
    def bins(self) -> tuple[int, ...]:
        """Number of cells along each axis."""
        return tuple(int(n) for n in self._grid.dims)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest value of each axis."""
        bounds = zip(self._grid.lower_bounds, self._grid.upper_bounds, strict=True)
        return tuple((float(low), float(high)) for low, high in bounds)

    @property
    def entry_threshold(self) -> EntryThreshold:
        """What a candidate must reach to enter the archive as it is now."""
        qualities = np.full(self.bins, -np.inf)
        filled = self._grid.data(["index", "objective"])
        qualities.flat[filled["index"]] = filled["objective"]
        return EntryThreshold(self.task, self.axes, self.ranges, qualities, self.worth)

    @property
    def coverage(self) -> float:
        """Share of cells that hold an elite."""
        return float(self._grid.stats.coverage)

    @property
    def best(self) -> float:
        """The best score; if there is no elite, one that is worse than all."""
        if self._grid.stats.obj_max is None:
            return math.inf if self.worth.is_lower(self.task) else -math.inf
        return self.elites[0].scores[self.task]

    @property
    def qd_score(self) -> float:
        """Sum of the worths of the elites' scores: of the scores themselves if higher is better."""
        return float(self._grid.stats.qd_score)


def automatic_range(scores: Sequence[float]) -> tuple[float, float]:
    """Compute a task's range: from 85 % of the weakest expert to 115 % of the strongest.

    If all experts score 0, this range is empty, and [0, 1] takes its place.

    Args:
        scores: The experts' scores on the task. Without any the range is [0, 1].
    """
    if not scores:
        return 0.0, 1.0
    lowest, highest = min(scores), max(scores)
    low, high = lowest - 0.15 * abs(lowest), highest + 0.15 * abs(highest)
    return (low, high) if low < high else (low, low + 1.0)
