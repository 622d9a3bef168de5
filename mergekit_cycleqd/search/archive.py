"""The archives: one grid of elites per task, as in MAP-Elites."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.early_stop import EntryThreshold


@dataclass(frozen=True, slots=True)
class Elite:
    """A genome that holds a cell.

    Attributes:
        index: Number of the candidate.
        genome: The model.
        scores: Its score on every task, by the task's name, on search samples; the mean where it
            was evaluated more than once.
        parents: Numbers of the candidates that it was bred from; empty for an expert.
        evaluations: How many evaluations its scores are the mean of.
    """

    index: int
    genome: Genome
    scores: Mapping[str, float]
    parents: tuple[int, ...]
    evaluations: int = 1


class TaskArchive:
    """The elites of one task: its score is the quality, the other tasks' scores the measures."""

    def __init__(
        self,
        task: str,
        axes: Sequence[str],
        bins: Sequence[int],
        ranges: Sequence[tuple[float, float]],
    ) -> None:
        """Make an empty archive.

        Args:
            task: Whose score is the quality.
            axes: The measures: the other tasks, in the recipe's order.
            bins: Cells along each axis.
            ranges: Lowest and highest value of each axis; what lies outside is clipped.
        """
        self.task = task
        self.axes = tuple(axes)
        # Here, since ribs imports torch where it is installed, which takes seconds.
        from mergekit_cycleqd.search.right_closed_grid import RightClosedGrid

        self._grid = RightClosedGrid(
            solution_dim=(), dims=bins, ranges=ranges, solution_dtype=object
        )

    def add(self, elite: Elite) -> bool:
        """Offer a candidate; True if it found a new cell or bettered the elite of its own."""
        measures = [elite.scores[axis] for axis in self.axes]
        info = self._grid.add_single(elite, elite.scores[self.task], measures)
        return bool(info["status"])

    def refill(self, elites: Sequence[Elite]) -> None:
        """Hold what offering these, in this order, to an empty archive leaves.

        Args:
            elites: One or more.
        """
        self._grid.clear()
        self._grid.add(  # of equals in a cell the first one, as if they came one by one
            elites,
            [elite.scores[self.task] for elite in elites],
            [[elite.scores[axis] for axis in self.axes] for elite in elites],
        )

    @property
    def elites(self) -> list[Elite]:
        """All elites, best first; of equals the older one first."""
        elites: list[Elite] = list(self._grid.data("solution"))
        return sorted(elites, key=lambda elite: (-elite.scores[self.task], elite.index))

    def cell_of(self, elite: Elite) -> tuple[int, ...]:
        """The cell of an elite, a number along each axis."""
        index = self._grid.index_of_single([elite.scores[axis] for axis in self.axes])
        return tuple(int(i) for i in self._grid.int_to_grid_index([index])[0])

    @property
    def bins(self) -> tuple[int, ...]:
        """Cells along each axis."""
        return tuple(int(n) for n in self._grid.dims)

    @property
    def ranges(self) -> tuple[tuple[float, float], ...]:
        """Lowest and highest value of each axis."""
        bounds = zip(self._grid.lower_bounds, self._grid.upper_bounds, strict=True)
        return tuple((float(low), float(high)) for low, high in bounds)

    @property
    def entry_threshold(self) -> EntryThreshold:
        """What a candidate has to reach now."""
        qualities = np.full(self.bins, -np.inf)
        filled = self._grid.data(["index", "objective"])
        qualities.flat[filled["index"]] = filled["objective"]
        return EntryThreshold(self.task, self.axes, self.ranges, qualities)

    @property
    def coverage(self) -> float:
        """Share of cells that hold an elite."""
        return float(self._grid.stats.coverage)

    @property
    def best(self) -> float:
        """The highest quality; -inf where there is no elite."""
        highest = self._grid.stats.obj_max
        return -math.inf if highest is None else float(highest)

    @property
    def qd_score(self) -> float:
        """Sum of the elites' qualities."""
        return float(self._grid.stats.qd_score)


def automatic_range(scores: Sequence[float]) -> tuple[float, float]:
    """The range of a task's axis: 85 % of the weakest expert to 115 % of the strongest.

    Where that is empty (all experts score 0), it is one unit from there.

    Args:
        scores: The experts' scores on the task; with none, the range is [0, 1].
    """
    if not scores:
        return 0.0, 1.0
    lowest, highest = min(scores), max(scores)
    low, high = lowest - 0.15 * abs(lowest), highest + 0.15 * abs(highest)
    return (low, high) if low < high else (low, low + 1.0)
