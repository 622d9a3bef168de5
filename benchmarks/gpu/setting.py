"""What all parts are given: the device, the sizes, and where the results go."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import TypeVar

from shapes import SHAPES, Shape

from benchmarks.gpu.results import Results

_T = TypeVar("_T")
FRESH = get_context("forkserver")
"""Makes processes that have the modules, and have not used the GPU."""

FRESH.set_forkserver_preload(["child_ways", "benchmarks.gpu.setting"])


@dataclass(frozen=True)
class Setting:
    """How a part runs.

    Attributes:
        device: `cuda` or `cpu`.
        tiny: Whether all shapes are tiny, as for a rehearsal on a CPU.
        folder: For models and caches; it is removed at the end.
        results: Takes the rows.
    """

    device: str
    tiny: bool
    folder: Path
    results: Results

    def shape(self, name: str) -> Shape:
        """Give the named shape, or the tiny one."""
        return SHAPES["tiny" if self.tiny else name]

    def few(self, usual: int, tiny: int) -> int:
        """Choose a number by the size of the trial."""
        return tiny if self.tiny else usual

    def use_own_cache(self) -> None:
        """Put singular directions into the folder, not into the user's cache."""
        os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(self.folder / "cache")


def apart(function: Callable[..., _T], *args: object) -> _T:
    """Call a function in a new process, which leaves no memory of the GPU behind."""
    with ProcessPoolExecutor(1, mp_context=FRESH) as pool:
        return pool.submit(function, *args).result()


def described(error: Exception) -> str:
    """Write an exception as one line."""
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
