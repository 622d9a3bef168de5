"""Archives of many axes: elites along all axes side by side, and as a map of two dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.archive import Elite, TaskArchive

MANY = 4
"""From so many axes on, an archive is also shown along all of them, and as a map."""
MOST = 300
"""So many elites are shown along the axes, the best ones."""
_NAMED = 3
_LONGEST = 18  # characters of a name at an axis


@dataclass(frozen=True)
class Along:
    """Elites along all axes of an archive, and their quality as one axis more.

    Attributes:
        titles: Name and range of each axis.
        elites: (n,) the best elites, best first.
        heights: (n, axes) where they lie, from 0 at an axis' lowest value to 1.
    """

    titles: tuple[str, ...]
    elites: tuple[Elite, ...]
    heights: NDArray[np.float64]


@dataclass(frozen=True)
class Map:
    """Elites on the two directions along which their measures vary most.

    Attributes:
        titles: The two directions in words.
        elites: (n,) all elites, best first.
        places: (n, 2) where they lie.
    """

    titles: tuple[str, str]
    elites: tuple[Elite, ...]
    places: NDArray[np.float64]


def short_name(name: str) -> str:
    """A name that fits at an axis: the middle of a long one is left out."""
    return name if len(name) <= _LONGEST else f"{name[: _LONGEST - 7]}…{name[-6:]}"


def along_axes(archive: TaskArchive, low: float, high: float) -> Along:
    """Place the best elites along all axes.

    Args:
        archive: With an elite.
        low: Worst quality.
        high: Best quality; less than the other where lower is better.
    """
    elites = archive.elites[:MOST]
    quality = np.array([elite.scores[archive.task] for elite in elites])
    place = (quality - low) / (high - low) if high != low else np.ones(len(elites))
    titles = [
        f"{short_name(name)}<br>{first:.3g} to {last:.3g}"
        for name, (first, last) in zip(archive.axes, archive.ranges, strict=True)
    ]
    return Along(
        (*titles, f"{short_name(archive.task)}<br>{low:.3g} to {high:.3g}"),
        tuple(elites),
        np.column_stack([_normalised(archive, elites), place]),
    )


def map_of(archive: TaskArchive) -> Map | None:
    """Place all elites by the principal axes of their measures; None if these are all equal."""
    elites = archive.elites
    values = _normalised(archive, elites)
    centred = values - values.mean(axis=0) if len(elites) else values
    if not centred.any():
        return None
    _, sizes, directions = np.linalg.svd(centred, full_matrices=False)
    if len(sizes) < 2:
        return None
    titles = []
    for number in range(2):
        largest = np.argsort(-np.abs(directions[number]), kind="stable")[:_NAMED]
        if directions[number, largest[0]] < 0:
            directions[number] *= -1
        share = float(sizes[number] ** 2 / (sizes**2).sum())
        parts = ", ".join(
            f"{short_name(archive.axes[i])} {directions[number, i]:+.2f}" for i in largest
        )
        titles.append(f"principal axis {number + 1}, {share:.0%} of the variance: {parts}")
    return Map((titles[0], titles[1]), tuple(elites), centred @ directions[:2].T)


def pictured_axes(archive: TaskArchive, most: int) -> list[int]:
    """Numbers of the axes along which elites vary most, at most so many, in their order."""
    spread = _normalised(archive, archive.elites).var(axis=0) if archive.elites else np.zeros(0)
    chosen = np.argsort(-spread, kind="stable")[:most] if len(spread) else range(most)
    return sorted(int(axis) for axis in chosen)


def _normalised(archive: TaskArchive, elites: list[Elite]) -> NDArray[np.float64]:
    """(n, axes) measures of elites, from 0 to 1 within the ranges; those beyond are clipped."""
    low, high = np.array(archive.ranges, dtype=np.float64).T
    values = np.array([elite.along(archive.axes) for elite in elites]).reshape(-1, len(low))
    found: NDArray[np.float64] = (np.clip(values, low, high) - low) / (high - low)
    return found
