"""Sparse grids hold what whole grids hold; cells around centroids are the same everywhere."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.archive_kinds.centroids import (
    cells_at,
    centroids_of,
    nearest,
    on_lattice,
    side_of,
    within_reach,
)
from mergekit_cycleqd.search.early_stop import EntryThresholds
from mergekit_cycleqd.search.worth import Worth

GENOME = Genome.uniform(Family("base", ("a", "b")))
AXES = ("x", "y", "z")
RANGES = [(0.0, 1.0), (-2.0, 2.0), (10.0, 20.0)]


def archive(kind: str, **more: Any) -> TaskArchive:
    return TaskArchive("q", AXES, [3, 4, 5], RANGES, kind=kind, **more)


def elites(count: int, seed: int) -> list[Elite]:
    rng = np.random.default_rng(seed)
    found = []
    for index in range(count):
        x, y, z = rng.uniform([-0.2, -2.5, 8], [1.2, 2.5, 22]).round(1).tolist()
        quality = float(rng.integers(0, 9)) / 7
        found.append(Elite(index, GENOME, {"q": quality, "x": x, "y": y, "z": z}, ()))
    return found


def boxes(count: int, seed: int) -> list[dict[str, tuple[float, float]]]:
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(count):
        ends = np.sort(rng.uniform([-0.3, -3, 7], [1.3, 3, 23], size=(2, 3)), axis=0).T.tolist()
        bounds = {axis: (low, high) for axis, (low, high) in zip(AXES, ends, strict=True)}
        if rng.integers(4) == 0:
            bounds["x"] = (-math.inf, math.inf)
        found.append(bounds | {"q": (-9.0, float(rng.integers(0, 9)) / 7)})
    return found


def state(one: TaskArchive) -> tuple[Any, ...]:
    cells = [(elite.index, one.cell_of(elite)) for elite in one.elites]
    return cells, one.coverage, one.qd_score, one.best, one.count


@pytest.mark.parametrize("count", [0, 1, 30, 400])
def test_a_sparse_grid_is_a_grid_to_the_bit(count: int) -> None:
    grid, sparse = archive("grid"), archive("sparse")
    for elite in elites(count, seed=count):
        assert grid.add(elite) == sparse.add(elite)
    assert state(grid) == state(sparse)
    if count:
        for one in (grid, sparse):
            one.refill(elites(count, seed=9))
        assert state(grid) == state(sparse)
    measures = np.random.default_rng(1).uniform([-1, -3, 5], [2, 3, 25], size=(4, 50, 3))
    floors = grid.entry_threshold, sparse.entry_threshold
    assert np.array_equal(floors[0].held(measures), floors[1].held(measures))
    for bounds in boxes(200, seed=2):
        assert floors[0].reachable(bounds) == floors[1].reachable(bounds)


@pytest.mark.parametrize("kind", ["grid", "sparse", "cvt"])
def test_thresholds_of_every_kind_reach_another_process_whole(kind: str) -> None:
    made = TaskArchive("q", AXES, [3, 4, 5], RANGES, Worth({"x": (0.0, 2.0)}), kind, 20)
    for elite in elites(60, seed=5):
        made.add(elite)
    here = EntryThresholds((made.entry_threshold,)).knowing({"z": 12.5})
    there = EntryThresholds.from_json(json.loads(json.dumps(here.to_json())))
    assert json.dumps(there.to_json()) == json.dumps(here.to_json())
    outcomes = {here.archives[0].reachable(b) for b in boxes(200, seed=6)}
    assert outcomes == {True, False}
    for bounds in boxes(200, seed=6):
        assert here.archives[0].reachable(bounds) == there.archives[0].reachable(bounds)


def test_a_cell_around_a_centroid_keeps_the_best_of_the_nearest() -> None:
    made = archive("cvt", cells=20)
    offered = elites(300, seed=3)
    for elite in offered:
        made.add(elite)
    assert made.count == 20 and made.coverage == len(made.elites) / 20
    low, high = np.array(RANGES).T
    centroids = centroids_of(20, 3)
    best: dict[int, Elite] = {}
    for elite in offered:
        point = on_lattice(np.array(elite.along(AXES)), low, high)
        (cell,) = made.cell_of(elite)
        distances = ((centroids - point) ** 2).sum(axis=1)
        assert (
            distances[cell] == distances.min() and not (distances[:cell] <= distances[cell]).any()
        )
        if cell not in best or best[cell].scores["q"] < elite.scores["q"]:
            best[cell] = elite
    assert {e.index for e in made.elites} == {e.index for e in best.values()}
    held = made.entry_threshold.held(np.array([elite.along(AXES) for elite in offered]))
    assert held.tolist() == [best[made.cell_of(elite)[0]].scores["q"] for elite in offered]


def test_a_box_never_misses_a_cell_that_a_point_of_it_is_in() -> None:
    centroids = centroids_of(40, 3)
    rng = np.random.default_rng(8)
    fewer = 0
    for _ in range(50):
        ends = np.sort(rng.integers(0, side_of(3) + 1, size=(2, 3)).astype(np.float32), axis=0)
        ends[1] = np.minimum(ends[1], ends[0] + side_of(3) // 8)
        points = rng.integers(ends[0], ends[1] + 1, size=(200, 3)).astype(np.float32)
        reached = within_reach(ends[0], ends[1], centroids)
        assert reached[nearest(points, centroids)].all()
        fewer += np.count_nonzero(reached) < 20
    assert fewer > 30, "or it excludes nothing"
    assert np.array_equal(cells_at(points, 40), nearest(points, centroids))
    point = points[:1]
    assert within_reach(point[0], point[0], centroids).sum() == 1


@pytest.mark.parametrize(
    ("cells", "axes", "digest"),
    [(50, 2, "f57304bf2f64b541"), (200, 11, "a3ad4ff64d840adc")],
)
def test_centroids_are_the_same_for_ever(cells: int, axes: int, digest: str) -> None:
    found = centroids_of(cells, axes)
    assert found.shape == (cells, axes) and len(np.unique(found, axis=0)) == cells
    assert found.min() >= 0 and found.max() <= side_of(axes)
    text = found.astype("<i4").tobytes()
    assert hashlib.sha256(text).hexdigest()[:16] == digest


@pytest.mark.parametrize("axes", [1, 2, 3, 19, 400])
def test_every_number_on_the_way_is_exact_in_float32(axes: int) -> None:
    assert 4 * axes * side_of(axes) ** 2 <= 2**24
    points = np.full((1, axes), side_of(axes), dtype=np.float32)
    both = np.stack([np.zeros(axes, dtype=np.float32), points[0]])
    assert nearest(points, both).tolist() == [1]


def test_places_in_pictures_are_cells_of_a_grid_for_every_kind() -> None:
    found = elites(40, seed=4)
    grid = archive("grid")
    expected = [grid.cell_of(elite) for elite in found]
    for one in (grid, archive("sparse"), archive("cvt", cells=9)):
        assert one.places(found) == expected and one.places([]) == []
