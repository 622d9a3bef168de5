"""Archives: one grid of elites per task, as in MAP-Elites."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.later import holds_genome
from mergekit_cycleqd.search.archive_kinds.base import Cells, EntryThreshold
from mergekit_cycleqd.search.archive_kinds.open import open_cells
from mergekit_cycleqd.search.cells import cell_numbers
from mergekit_cycleqd.search.shown import (
    html_of_archive,
    html_of_elite,
    line_of_archive,
    line_of_elite,
)
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
        measures: What spans archives beside the scores, by name.
    """

    index: int
    genome: Genome
    scores: Mapping[str, float]
    parents: tuple[int, ...]
    evaluations: int = 1
    measures: Mapping[str, float] = field(default_factory=dict)

    def __repr__(self) -> str:
        return line_of_elite(self)

    def _repr_html_(self) -> str:
        return html_of_elite(self)

    def along(self, axes: Sequence[str]) -> list[float]:
        """The values on axes, which are names of tasks or of other measures."""
        return [self.scores[a] if a in self.scores else self.measures[a] for a in axes]


class TaskArchive:
    """The elites of one task. Its score is the quality; its measures say which cell.

    Attributes:
        task: The task whose score is the quality.
        axes: Names of the measures.
        bins: Cells along each axis of a grid, and of pictures.
        ranges: Lowest and highest value of each axis.
        worth: How good scores are, on every task.
        kind: ``grid``, ``sparse`` or ``cvt``.
    """

    def __init__(
        self,
        task: str,
        axes: Sequence[str],
        bins: Sequence[int],
        ranges: Sequence[tuple[float, float]],
        worth: Worth = Worth(),  # noqa: B008 - it cannot be changed
        kind: str = "grid",
        cells: int = 0,
    ) -> None:
        """Make an empty archive.

        Args:
            task: The task whose score is the quality.
            axes: Names of the measures: of other tasks, for their scores, or of other measures.
            bins: Cells along each axis.
            ranges: Lowest and highest value of each axis. Values outside are clipped.
            worth: How good scores are, on every task.
            kind: ``grid``, ``sparse`` or ``cvt``.
            cells: How many, for ``cvt``.
        """
        self.task = task
        self.worth = worth
        self.axes = tuple(axes)
        self.bins = tuple(bins)
        self.ranges = tuple((float(low), float(high)) for low, high in ranges)
        self.kind = kind
        self._computed: dict[str, Any] = {}
        self._cells: Cells[Elite] = open_cells(kind, self.bins, self.ranges, cells)

    def __repr__(self) -> str:
        return line_of_archive(self)

    def _repr_html_(self) -> str:
        return html_of_archive(self)

    def add(self, elite: Elite) -> bool:
        """Offer a candidate; True if it filled an empty cell or replaced a worse elite."""
        added = self._cells.add(elite, self.worth_of(elite), elite.along(self.axes))
        if added:
            self._computed.clear()
        return added

    def refill(self, elites: Sequence[Elite]) -> None:
        """Empty the archive, then offer candidates in their order.

        Args:
            elites: One or more candidates.
        """
        self._computed.clear()
        self._cells.refill(  # the first of equals in a cell stays, as with `add`
            elites,
            [self.worth_of(elite) for elite in elites],
            [elite.along(self.axes) for elite in elites],
        )

    def worth_of(self, elite: Elite) -> float:
        """How good a candidate is in this archive."""
        return self.worth.of(self.task, elite.scores[self.task])

    @property
    def elites(self) -> list[Elite]:
        """All elites, best first; the older of equals first."""
        found: list[Elite] = self.computed(
            "elites",
            lambda: sorted(self.unsorted, key=lambda e: (-self.worth_of(e), e.index)),
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
        return self._cells.models

    def cell_of(self, elite: Elite) -> tuple[int, ...]:
        """The cell of an elite: one number along each axis of a grid, else its number."""
        return self._cells.cell_of(elite.along(self.axes))

    def places(self, elites: Sequence[Elite]) -> list[tuple[int, ...]]:
        """Where elites lie in a grid of `bins`, whatever the kind of the archive."""
        low, high = np.array(self.ranges).T
        values = np.array([elite.along(self.axes) for elite in elites], dtype=np.float64)
        found = cell_numbers(values.reshape(-1, len(low)), low, high, np.array(self.bins))
        return [tuple(int(number) for number in row) for row in found]

    @property
    def count(self) -> int:
        """How many cells there are."""
        return self._cells.count

    @property
    def entry_threshold(self) -> EntryThreshold:
        """What a candidate must reach to enter the archive as it is now."""
        return self._cells.threshold(self.task, self.axes, self.ranges, self.worth)

    @property
    def coverage(self) -> float:
        """Share of cells that hold an elite."""
        return len(self._cells.models) / self.count

    @property
    def best(self) -> float:
        """The best score; if there is no elite, one that is worse than all."""
        elites = self.elites
        if not elites:
            return math.inf if self.worth.is_lower(self.task) else -math.inf
        return elites[0].scores[self.task]

    @property
    def qd_score(self) -> float:
        """Sum of the worths of the elites' scores: of the scores themselves if higher is better."""
        return self._cells.total


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
