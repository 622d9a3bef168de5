"""The numbers and levels of one archive that the terminal shows, copied at one moment."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mergekit_cycleqd.run.block_characters import Level
from mergekit_cycleqd.search.archive import TaskArchive

PICTURED_AXES = 2
"""Archives with more axes are shown as a row of numbers, without a picture."""


@dataclass(frozen=True)
class ArchiveView:
    """An archive at one moment, in numbers.

    Attributes:
        task: The task whose score is the quality.
        axes: Names of the measures.
        bins: Number of cells along each axis.
        ranges: Lowest and highest value of each axis.
        worst: The score of the worst elite, which is dark; None for an empty archive.
        elites: Number of elites.
        best: Quality and number of the best elite; None for an empty archive.
        newest: Number of the latest elite; None for an empty archive.
        coverage: Share of cells that hold an elite.
        qd_score: Sum of the worths of the elites' qualities.
        cells: Level of the elite, by cell; empty with more than two axes.
    """

    task: str
    axes: tuple[str, ...]
    bins: tuple[int, ...]
    ranges: tuple[tuple[float, float], ...]
    worst: float | None
    elites: int
    best: tuple[float, int] | None
    newest: int | None
    coverage: float
    qd_score: float
    cells: Mapping[tuple[int, ...], float]

    @classmethod
    def of(cls, archive: TaskArchive) -> ArchiveView:
        """Copy the present state of an archive."""
        elites = archive.elites
        task = archive.task
        best = (elites[0].scores[task], elites[0].index) if elites else None
        cells = {}
        if elites and len(archive.axes) <= PICTURED_AXES:
            top, low = elites[0].scores[task], elites[-1].scores[task]
            span = top - low
            cells = {
                place: (elite.scores[task] - low) / span if span else 1.0
                for place, elite in reversed(list(zip(archive.places(elites), elites, strict=True)))
            }
        return cls(
            task=task,
            axes=archive.axes,
            bins=archive.bins,
            ranges=archive.ranges,
            worst=elites[-1].scores[task] if elites else None,
            elites=len(elites),
            best=best,
            newest=max((elite.index for elite in elites), default=None),
            coverage=archive.coverage,
            qd_score=archive.qd_score,
            cells=cells,
        )

    @property
    def strip(self) -> list[Level]:
        """Levels of the cells along the only axis."""
        return [self.cells.get((i,)) for i in range(self.bins[0])]

    @property
    def rows(self) -> list[list[Level]]:
        """Levels of the cells, by rows from the top: the first axis to the right, the second up."""
        across, up = self.bins
        return [[self.cells.get((x, y)) for x in range(across)] for y in reversed(range(up))]
