from __future__ import annotations

import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.archive import Elite, TaskArchive

FAMILY = Family("base", ("a", "b"))


def elite(index: int, q: float, **measures: float) -> Elite:
    return Elite(index, Genome.uniform(FAMILY), {"q": q, **measures}, ())


def line(bins: int = 4) -> TaskArchive:
    return TaskArchive("q", ["x"], [bins], [(0.0, 1.0)])


@pytest.mark.parametrize(
    ("x", "cell"),
    [
        (-5.0, 0),
        (0.0, 0),
        (0.1, 0),
        (0.25, 0),  # on an edge: the cell below, as in the released code
        (0.2501, 1),
        (0.5, 1),
        (0.75, 2),
        (1.0, 3),
        (7.0, 3),
        (0.1 + 0.15, 0),  # 0.25 but for rounding
        (3 * 0.25 + 1e-17, 2),
    ],
)
def test_cells_are_closed_on_the_right_and_clip(x: float, cell: int) -> None:
    assert line().cell_of(elite(0, 1.0, x=x)) == (cell,)


def test_edges_of_a_shifted_range_belong_to_the_cell_below() -> None:
    archive = TaskArchive("q", ["x"], [3], [(0.1, 0.7)])
    assert [archive.cell_of(elite(0, 1.0, x=x)) for x in (0.3, 0.5, 0.7)] == [(0,), (1,), (2,)]


def test_a_cell_keeps_the_better_and_of_equals_the_older() -> None:
    archive = line()
    assert archive.add(elite(0, 0.5, x=0.1))
    assert not archive.add(elite(1, 0.5, x=0.2))
    assert not archive.add(elite(2, 0.4, x=0.2))
    assert archive.add(elite(3, 0.6, x=0.2))
    assert archive.add(elite(4, 0.1, x=0.9))
    assert [e.index for e in archive.elites] == [3, 4]


def test_coverage_and_qd_score_are_those_of_the_field() -> None:
    archive = TaskArchive("q", ["x", "y"], [2, 5], [(0, 1), (0, 1)])
    archive.add(elite(0, 0.5, x=0.1, y=0.1))
    archive.add(elite(1, 0.75, x=0.9, y=0.9))
    assert archive.coverage == pytest.approx(2 / 10)
    assert archive.qd_score == pytest.approx(1.25)
    assert archive.cell_of(archive.elites[0]) == (1, 4)
    assert (archive.bins, archive.ranges) == ((2, 5), ((0.0, 1.0), (0.0, 1.0)))
