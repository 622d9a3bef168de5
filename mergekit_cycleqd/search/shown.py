"""Searches, archives and models in one line each, and as tables in a notebook."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Protocol

from mergekit_cycleqd.genome.later import id_of
from mergekit_cycleqd.system.markup import element, inside, table
from mergekit_cycleqd.system.units import counted, listed, number

if TYPE_CHECKING:
    from mergekit_cycleqd.search.archive import Elite, TaskArchive
    from mergekit_cycleqd.search.candidate import Candidate

_SHOWN = 10


class _Search(Protocol):
    """What is shown of a search."""

    @property
    def archives(self) -> Mapping[str, TaskArchive]: ...
    @property
    def children_told(self) -> int: ...

    total: int
    experts: int


class ShownSearch:
    """Shows a search by the children it was told, and its archives."""

    def __repr__(self: _Search) -> str:
        found = ", ".join(f"{task} {len(each.elites)}" for task, each in self.archives.items())
        return f"<CycleQD: {_told(self)}; elites: {found}>"

    def _repr_html_(self: _Search) -> str:
        return inside([element("p", f"CycleQD: {_told(self)}."), archives_table(self.archives)])


def _told(search: _Search) -> str:
    return f"{search.children_told:,} of {_counted_children(search.total - search.experts)} told"


def _counted_children(count: int) -> str:
    """Such as ``1 child`` or ``1,200 children``."""
    return f"{count:,} {'child' if count == 1 else 'children'}"


def archives_table(archives: Mapping[str, TaskArchive]) -> str:
    """A table with a row for each archive."""
    rows = [
        [
            task,
            f"{len(archive.elites):,} in {counted(archive.count, 'cell')}",
            f"{archive.coverage:.1%}",
            number(archive.qd_score),
            number(archive.best if archive.elites else None),
        ]
        for task, archive in archives.items()
    ]
    return table("Archives", ["archive", "elites", "coverage", "QD score", "best score"], rows)


def line_of_archive(archive: TaskArchive) -> str:
    """Such as ``<TaskArchive coding: 34 elites in 100 cells, QD score 20.100>``."""
    return (
        f"<TaskArchive {archive.task}: {counted(len(archive.elites), 'elite')} in "
        f"{counted(archive.count, 'cell')}, QD score {archive.qd_score:.3f}>"
    )


def html_of_archive(archive: TaskArchive) -> str:
    """A table of the best elites."""
    elites = archive.elites
    best = "" if len(elites) <= _SHOWN else f"; the best {_SHOWN}"
    caption = (
        f"Archive of {archive.task} over {listed(archive.axes)}: "
        f"{counted(len(elites), 'elite')} in {counted(archive.count, 'cell')}{best}"
    )
    return _elites_table(caption, elites[:_SHOWN])


def line_of_elite(elite: Elite) -> str:
    """Such as ``<Elite 57: coding 0.810, db 0.620>``."""
    return f"<Elite {elite.index}: {_scores(elite.scores)}>"


def html_of_elite(elite: Elite) -> str:
    """A table of one row."""
    return _elites_table(f"Elite {elite.index}, genome {id_of(elite)}", [elite])


def line_of_candidate(candidate: Candidate) -> str:
    """Such as ``<Candidate 57 in the turn of db, parents 3 and 12>``."""
    turn = f" in the turn of {candidate.task}" if candidate.task else ""
    return f"<Candidate {candidate.index}{turn}, {_parents(candidate.parents)}>"


def _elites_table(caption: str, elites: Sequence[Elite]) -> str:
    tasks = list(elites[0].scores) if elites else []
    rows = [
        [str(e.index), *(f"{e.scores[task]:.3f}" for task in tasks), _numbers(e.parents)]
        for e in elites
    ]
    return table(caption, ["candidate", *tasks, "parents"], rows)


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{task} {score:.3f}" for task, score in scores.items())


def _parents(parents: Sequence[int]) -> str:
    return f"parents {_numbers(parents)}" if parents else "an expert"


def _numbers(parents: Sequence[int]) -> str:
    return listed([str(parent) for parent in parents]) if parents else "–"
