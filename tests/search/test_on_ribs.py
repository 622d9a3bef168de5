"""The grid sees quickly that a solution enters no cell, and is in all else as ribs makes it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ribs.archives import GridArchive

from mergekit_cycleqd.search.archive_kinds import on_ribs
from mergekit_cycleqd.search.archive_kinds.on_ribs import RightClosedGrid
from mergekit_cycleqd.search.cells import cell_numbers, cell_of

RANGES = [(0.0, 1.0), (-0.3, 0.7), (0.1, 1.15)]
BINS = [4, 7, 15]


class Slow(RightClosedGrid):
    """The grid without the look ahead."""

    def add_single(self, *args: object, **fields: object) -> dict[str, object]:
        return dict(GridArchive.add_single(self, *args, **fields))


def grids() -> tuple[RightClosedGrid, Slow]:
    settings = {"solution_dim": (), "dims": BINS, "ranges": RANGES, "solution_dtype": object}
    return RightClosedGrid(**settings), Slow(**settings)


def values(drawn: random.Random) -> list[float]:
    """Anywhere, on the edges of cells, and beyond the range."""
    found = []
    for (low, high), bins in zip(RANGES, BINS, strict=True):
        edge = low + (high - low) * drawn.randrange(bins + 1) / bins
        found.append(drawn.choice([drawn.uniform(low - 0.2, high + 0.2), edge, edge + 1e-9]))
    return found


def test_the_cell_of_one_row_is_that_of_many() -> None:
    drawn = random.Random(0)
    rows = [values(drawn) for _ in range(5000)]
    low, high = np.array(RANGES).T
    many = cell_numbers(np.array(rows), low, high, np.array(BINS))
    axes = [(*ends, bins) for ends, bins in zip(RANGES, BINS, strict=True)]
    assert [cell_of(row, axes) for row in rows] == list(map(tuple, many.tolist()))


@pytest.mark.parametrize("seed", range(3))
def test_the_same_solutions_stay_as_without_the_look_ahead(seed: int) -> None:
    drawn = random.Random(seed)
    fast, slow = grids()
    for number in range(1500):
        quality, measures = drawn.choice([drawn.gauss(0, 1), 0.0, -0.0]), values(drawn)
        added = [grid.add_single(number, quality, measures)["status"] for grid in (fast, slow)]
        assert added[0] == added[1]
        if number == 700:
            for grid in (fast, slow):
                grid.clear()
        if number in (710, 900):
            batch = [[drawn.gauss(0, 1), values(drawn)] for _ in range(200)]
            for grid in (fast, slow):
                grid.add(range(200), *zip(*batch, strict=True))
    found = [grid.data(["index", "solution", "objective"]) for grid in (fast, slow)]
    for key in found[0]:
        assert list(found[0][key]) == list(found[1][key])
    assert fast.stats == slow.stats


def test_a_file_of_the_working_directory_sets_nothing_of_numba(tmp_path: Path) -> None:
    """Its cache is pickles."""
    pytest.importorskip("numba")
    (tmp_path / ".numba_config.yaml").write_text(f"cache_dir: {tmp_path / 'evil'}\n")
    program = (
        "import mergekit_cycleqd.search.archive_kinds.on_ribs, numba; "
        "numba.config.reload_config(); print(repr(numba.config.CACHE_DIR))"
    )
    env = os.environ | {"PYTHONPATH": str(Path(on_ribs.__file__).parents[3])}
    env.pop("NUMBA_CACHE_DIR", None)
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.stdout == "''\n", done.stderr
    assert not (tmp_path / "evil").exists()
