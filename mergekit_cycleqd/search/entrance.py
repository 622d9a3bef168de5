"""Offer a candidate to all archives; those that it cannot enter are found at once."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.archive_kinds.centroids import cells_at, on_lattice


class Entrance:
    """Where candidates come to the archives of a search.

    Archives around centroids mostly have the same ones. A product with them finds the cells of a
    candidate in twenty archives in the time of two. Most children enter no archive, and are not
    shown to any.
    """

    def __init__(self, archives: Iterable[TaskArchive]) -> None:
        """Take the archives, which are offered candidates by this object alone."""
        self._archives = list(archives)
        alike = {(archive.kind, len(archive.axes), archive.count) for archive in self._archives}
        self._at_once = len(alike) == 1 and self._archives[0].kind == "cvt"
        if self._at_once:
            ranges = np.array([archive.ranges for archive in self._archives], dtype=np.float64)
            self._low, self._high = np.moveaxis(ranges, -1, 0)  # (archives, axes) each
            self._names = list(dict.fromkeys(a for one in self._archives for a in one.axes))
            places = [[self._names.index(a) for a in one.axes] for one in self._archives]
            self._places = np.array(places)  # of each archive's axes among the names
            self._look()

    def _look(self) -> None:
        """See what the cells hold: (archives, cells) worths, -inf for an empty cell."""
        cells = np.arange(self._archives[0].count, dtype=np.int32)[:, None]
        self._held = np.stack([a.entry_threshold.held_at(cells) for a in self._archives])

    def add(self, elite: Elite) -> bool:
        """Offer a candidate to every archive; True if one took it."""
        if not self._at_once:
            return any([archive.add(elite) for archive in self._archives])
        measures = np.array(elite.along(self._names), dtype=np.float64)[self._places]
        cells = cells_at(on_lattice(measures, self._low, self._high), self._held.shape[1])
        worths = np.array([archive.worth_of(elite) for archive in self._archives])
        entered = np.flatnonzero(self._held[np.arange(len(cells)), cells] < worths)
        for number in entered.tolist():
            self._archives[number].add(elite)
        self._held[entered, cells[entered]] = worths[entered]
        return len(entered) > 0

    def refill(self, elites: list[Elite]) -> None:
        """Empty all archives, then offer candidates in their order; one or more."""
        for archive in self._archives:
            archive.refill(elites)
        if self._at_once:
            self._look()
