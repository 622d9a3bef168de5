"""Time of a swap of weights and of a checksum, and whether weights come back to the bit."""

from __future__ import annotations

import statistics
import time

from child_ways import Job, genome, opened, work
from measuring import synchronize

from benchmarks.gpu.children import SHAPE
from benchmarks.gpu.setting import Setting

_RANK, _TERMS = 128, 20


def measure(setting: Setting) -> None:
    """Load children in turns, and compare the checksums of the same child.

    Raises:
        RuntimeError: If a child's weights do not come back, or two children are the same.
    """
    shape = setting.shape(SHAPE)
    row = "resident, all memory"
    job = Job(row, shape, setting.device, setting.folder, _RANK, _TERMS, 0, False)
    model = opened(job)
    found: dict[int, set[str]] = {}
    swaps, checks = [], []
    for child in (0, 1, 2, 1, 0, 2):
        synchronize(setting.device)
        start = time.perf_counter()
        model.load(genome(job, child))
        synchronize(setting.device)
        swapped = time.perf_counter()
        found.setdefault(child, set()).add(model.checksum())
        swaps.append(swapped - start)
        checks.append(time.perf_counter() - swapped)
    moved = 2 * sum(m * n for m, n in shape.matrices())
    check = statistics.median(checks[1:])
    setting.results.add(
        "swap of weights",
        first=swaps[0],
        seconds=statistics.median(swaps[1:]),
        checksum=check,
        **{"checksum, GB/s": moved / check / 1e9, "GB of a swap": work(job).moved / 1e9},
        **{"same child, same bits": all(len(sums) == 1 for sums in found.values())},
    )
    if any(len(sums) > 1 for sums in found.values()) or len(set.union(*found.values())) != 3:
        raise RuntimeError(f"checksums of children: {found}")
