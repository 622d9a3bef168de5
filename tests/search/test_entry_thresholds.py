"""What an archive shows, and what of it decides that a candidate cannot enter."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.archive import Elite, TaskArchive, automatic_range
from mergekit_cycleqd.search.cells import cell_numbers
from mergekit_cycleqd.search.early_stop import CannotEnter, EntryThreshold, EntryThresholds

GENOME = Genome.uniform(Family("base", ("a", "b")))


def elite(index: int, q: float, x: float) -> Elite:
    return Elite(index, GENOME, {"q": q, "x": x}, ())


def archive(*elites: Elite, bins: int = 4) -> TaskArchive:
    made = TaskArchive("q", ["x"], [bins], [(0.0, 1.0)])
    for one in elites:
        made.add(one)
    return made


def test_an_empty_archive_has_no_best() -> None:
    empty = archive()
    assert empty.best == -math.inf and empty.elites == [] and empty.coverage == 0
    assert archive(elite(0, -2.0, 0.1), elite(1, -3.0, 0.9)).best == -2.0


def test_elites_are_sorted_by_quality_and_then_by_age() -> None:
    found = archive(elite(0, 0.2, 0.1), elite(1, 0.5, 0.9), elite(2, 0.5, 0.6)).elites
    assert [one.index for one in found] == [1, 2, 0]


def test_refilling_forgets_what_was_there() -> None:
    made = archive(elite(0, 0.9, 0.1), elite(1, 0.9, 0.9))
    made.refill([elite(2, 0.5, 0.1)])
    assert [one.index for one in made.elites] == [2]


@pytest.mark.parametrize(
    ("scores", "expected"),
    [
        ([], (0.0, 1.0)),
        ([1.0], (0.85, 1.15)),
        ([0.0, 1.0], (0.0, 1.15)),
        ([-1.0, 0.0], (-1.15, 0.0)),
        ([0.0], (0.0, 1.0)),
        ([200.0, 100.0], (85.0, 230.0)),
    ],
)
def test_an_automatic_range_is_a_little_wider_than_the_experts(
    scores: list[float], expected: tuple[float, float]
) -> None:
    assert automatic_range(scores) == pytest.approx(expected)


def test_a_measure_belongs_to_the_cell_whose_right_edge_it_reaches() -> None:
    measures = np.array([[-1.0], [0.0], [2.4999], [2.5], [2.51], [5.0], [7.5], [9.9], [99.0]])
    found = cell_numbers(measures, np.array([0.0]), np.array([10.0]), np.array([4]))
    assert found[:, 0].tolist() == [0, 0, 0, 0, 1, 1, 2, 3, 3]
    assert found.dtype == np.int32


# ---- early stop ----

FILLED = archive(elite(0, 0.6, 0.1), elite(1, 0.8, 0.4), elite(2, 0.7, 0.6))  # the last is empty


@pytest.mark.parametrize(
    ("x", "highest", "reachable"),
    [
        ((0.1, 0.1), 0.61, True),
        ((0.1, 0.1), 0.6, False),  # an equal one does not replace an elite
        ((0.3, 0.4), 0.79, False),
        ((0.2, 0.4), 0.61, True),  # the first of the cells that it may come to
        ((0.3, 0.6), 0.71, True),  # the last of them
        ((0.3, 0.75), 0.69, False),
        ((0.3, 0.76), -9.0, True),  # an empty cell takes anything
        ((-5.0, 0.1), 0.6, False),
        ((0.9, 5.0), 0.0, True),
    ],
)
def test_a_candidate_cannot_enter_where_every_cell_holds_a_better_one(
    x: tuple[float, float], highest: float, reachable: bool
) -> None:
    bounds = {"q": (-10.0, highest), "x": x}
    assert FILLED.entry_threshold.reachable(bounds) == reachable
    floors = EntryThresholds((FILLED.entry_threshold,))
    if reachable:
        floors.check(bounds)
    else:
        with pytest.raises(CannotEnter, match="no archive can take it") as stopped:
            floors.check(bounds)
        assert stopped.value.bounds == bounds


def test_one_archive_that_can_take_a_candidate_is_enough() -> None:
    full = archive(*(elite(i, 0.9, 0.1 + i / 4) for i in range(4)))
    bounds = {"q": (0.0, 0.5), "x": (0.9, 1.0)}
    with pytest.raises(CannotEnter):
        EntryThresholds((full.entry_threshold, full.entry_threshold)).check(bounds)
    EntryThresholds((full.entry_threshold, FILLED.entry_threshold)).check(bounds)


def test_thresholds_reach_another_process_whole() -> None:
    floor = FILLED.entry_threshold
    content = json.loads(json.dumps(EntryThresholds((floor,)).to_json()))
    assert content[0]["filled"] == {"0": 0.6, "1": 0.8, "2": 0.7}
    (again,) = EntryThresholds.from_json(content).archives
    assert (again.task, again.axes, again.ranges) == (floor.task, floor.axes, floor.ranges)
    assert np.array_equal(again.qualities, floor.qualities)
    assert floor.qualities.tolist() == [0.6, 0.8, 0.7, -math.inf]


def test_thresholds_of_two_axes_are_laid_out_as_their_cells() -> None:
    made = TaskArchive("q", ["x", "y"], [2, 3], [(0.0, 1.0), (0.0, 1.0)])
    made.add(Elite(0, GENOME, {"q": 0.5, "x": 0.9, "y": 0.5}, ()))
    floor = made.entry_threshold
    assert isinstance(floor, EntryThreshold) and floor.qualities.shape == (2, 3)
    assert floor.qualities[1, 1] == 0.5 and np.isfinite(floor.qualities).sum() == 1
    assert not floor.reachable({"q": (0, 0.5), "x": (0.8, 0.9), "y": (0.4, 0.6)})
    assert floor.reachable({"q": (0, 0.5), "x": (0.8, 0.9), "y": (0.4, 0.7)})
    assert floor.reachable({"q": (0, 0.5), "x": (0.5, 0.9), "y": (0.4, 0.6)})
