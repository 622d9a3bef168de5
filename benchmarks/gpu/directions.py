"""Singular directions of one expert at the shape of Llama-3-8B, against a full SVD."""

from __future__ import annotations

from collections import Counter

from factors import METHODS, cost
from shapes import draw

from benchmarks.gpu.children import SHAPE
from benchmarks.gpu.setting import Setting, described

_SVD_ROWS = 20_000  # a full SVD of the embedding does not fit into the time


def measure(setting: Setting) -> None:
    """Decompose one matrix of each size, the slowest method last.

    Raises:
        RuntimeError: If a row failed, after all were tried.
    """
    shape = setting.shape(SHAPE)
    failed = 0
    counts = Counter(shape.matrices())
    for name, method in sorted(METHODS.items(), key=lambda item: item[0] == "full SVD"):
        cost(method, [draw("warm", (64, 64), 1, setting.device).float()])
        for (m, n), count in sorted(counts.items(), key=lambda item: item[0][0] * item[0][1]):
            if name == "full SVD" and max(m, n) > _SVD_ROWS:
                continue
            base, expert = (draw("matrix", (m, n), k, setting.device).float() for k in (0, 1))
            row = {"method": name, "matrix": f"{m} x {n}", "in an expert": count}
            try:
                seconds, size = cost(method, [expert - base])
                row |= {"seconds": seconds, "seconds for all": count * seconds, "MB": size / 1e6}
            except RuntimeError as error:
                failed += 1
                row["failed"] = described(error)
            setting.results.add("singular directions", **row)
    if failed:
        raise RuntimeError(f"{failed} rows failed")
