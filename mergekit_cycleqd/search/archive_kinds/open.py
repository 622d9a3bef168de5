"""Open an archive's cells by their kind, and read thresholds that another process wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mergekit_cycleqd.search.archive_kinds.base import Cells, EntryThreshold
from mergekit_cycleqd.search.archive_kinds.ribs_cells import (
    CVTThreshold,
    GridThreshold,
    RibsCells,
    from_filled,
)
from mergekit_cycleqd.search.archive_kinds.sparse import SparseCells, SparseThreshold
from mergekit_cycleqd.search.worth import Worth


def open_cells(
    kind: str, bins: Sequence[int], ranges: Sequence[tuple[float, float]], cells: int
) -> Cells[Any]:
    """Make the empty cells of an archive.

    Args:
        kind: ``grid``, ``sparse`` or ``cvt``.
        bins: Cells along each axis of a grid.
        ranges: Lowest and highest value of each axis. Values outside are clipped.
        cells: How many, for ``cvt``.
    """
    if kind == "cvt":
        return RibsCells.cvt(cells, ranges)
    return SparseCells(bins, ranges) if kind == "sparse" else RibsCells.grid(bins, ranges)


def threshold_from_json(content: Mapping[str, Any]) -> EntryThreshold:
    """Read what `EntryThresholds.to_json` wrote of one archive."""
    about = (
        content["task"],
        tuple(content["axes"]),
        tuple((low, high) for low, high in content["ranges"]),
    )
    lower = {task: (low, high) for task, (low, high) in content["lower"].items()}
    more: dict[str, Any] = {"worth": Worth(lower), "known": content["known"]}
    if "grid" in content:
        bins = tuple(content["grid"])
        cells = np.array(content["cells"], dtype=np.int32).reshape(-1, len(bins))
        return SparseThreshold(*about, bins, cells, np.array(content["filled"]), **more)
    kind, shape = (
        (GridThreshold, content["bins"]) if "bins" in content else (CVTThreshold, content["cells"])
    )
    return kind(*about, from_filled(shape, content["filled"]), **more)
