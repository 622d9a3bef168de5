"""Archives as flat pictures: one per pair of axes, or a strip for a single axis."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from statistics import quantiles

from mergekit_cycleqd.report.many_axes import pictured_axes
from mergekit_cycleqd.search.archive import Elite, TaskArchive

ALL_PAIRS = 5
_FEW = 4
_ENOUGH = 8  # elites of which quartiles mean something


@dataclass(frozen=True)
class Axis:
    """One axis of a picture.

    Attributes:
        task: The task whose score the axis shows.
        bins: Number of cells along the axis.
        range: Lowest and highest value; values outside lie in the outermost cells.
    """

    task: str
    bins: int
    range: tuple[float, float]

    @property
    def edges(self) -> list[float]:
        """Limits of the cells, (bins + 1,) values."""
        low, high = self.range
        return [low + (high - low) * i / self.bins for i in range(self.bins + 1)]


@dataclass(frozen=True)
class Panel:
    """One picture of an archive.

    Attributes:
        task: The task whose score is the quality.
        across: The horizontal axis.
        up: The vertical axis; None for a strip.
        best: The best elite of each filled cell, by the cell's column and row.
    """

    task: str
    across: Axis
    up: Axis | None
    best: Mapping[tuple[int, int], Elite]


def panels(archive: TaskArchive) -> list[Panel]:
    """Make the pictures of an archive: one per pair of axes, or a strip for a single axis.

    Of more than `ALL_PAIRS` axes, these are the pairs of the few along which elites vary most.
    """
    axes = [Axis(*axis) for axis in zip(archive.axes, archive.bins, archive.ranges, strict=True)]
    elites = archive.elites  # best first
    cells_of_elites = list(zip(archive.places(elites), elites, strict=True))
    shown = pictured_axes(archive, _FEW) if len(axes) > ALL_PAIRS else range(len(axes))
    found = []
    for x, y in combinations(shown, 2) if len(axes) > 1 else [(0, None)]:
        best: dict[tuple[int, int], Elite] = {}
        for cell, elite in cells_of_elites:
            best.setdefault((cell[x], 0 if y is None else cell[y]), elite)
        found.append(Panel(archive.task, axes[x], None if y is None else axes[y], best))
    return found


@dataclass(frozen=True)
class ColourScale:
    """Which scores the colours of an archive stand for.

    Attributes:
        dark: The score of the darkest colour.
        bright: The score of the brightest colour, which is never the same.
        clipped: Whether some elites are worse than the darkest colour's score.
    """

    dark: float
    bright: float
    clipped: bool = False


def colour_scale(archive: TaskArchive) -> ColourScale:
    """Choose the colours of an archive: the best elite is bright.

    An elite that is far worse than most, as an expert of another task often is, has the darkest
    colour, and does not take all colours from the others. Far is more than one and a half times
    the range between the quartiles below the lower one (Tukey's fence).
    """
    worst, best = qualities(archive)
    if worst == best:
        if archive.worth.is_lower(archive.task):
            return ColourScale(best + (abs(best) or 1.0), best)
        return ColourScale(0.0, best) if best > 0 else ColourScale(best, best + 1.0)
    sign = 1.0 if best > worst else -1.0
    worths = sorted(sign * elite.scores[archive.task] for elite in archive.elites)
    if len(worths) < _ENOUGH:
        return ColourScale(worst, best)
    lower, _, upper = quantiles(worths, n=4)
    dark = sign * next(each for each in worths if each >= lower - 1.5 * (upper - lower))
    return ColourScale(worst, best) if dark == best else ColourScale(dark, best, dark != worst)


def qualities(archive: TaskArchive) -> tuple[float, float]:
    """Find the worst and the best score of an archive's elites; (0, 1) if it is empty.

    Where lower scores are better, the first of both is the higher one.
    """
    found = [elite.scores[archive.task] for elite in archive.elites]
    low, high = min(found, default=0.0), max(found, default=1.0)
    return (high, low) if archive.worth.is_lower(archive.task) else (low, high)
