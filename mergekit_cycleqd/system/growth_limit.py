"""End what takes too much memory or disk, such as data of a stranger that unpack to any size."""

from __future__ import annotations

import ctypes
import shutil
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from mergekit_cycleqd.system import units
from mergekit_cycleqd.system.main_memory import available_memory

_LEAST_DISK = 1_000_000_000
_SECONDS = 0.1


@contextmanager
def growth_limit(folder: Path, most: int | None = None) -> Iterator[None]:
    """Raise MemoryError in this thread once too much is taken, at its next step in Python.

    Args:
        folder: Where files are written; a gigabyte of its disk stays free.
        most: Bytes of memory that may be taken; None for half of what is free.
    """
    most = available_memory() // 2 if most is None else most
    began, disk = _memory(), _free(folder)
    caller, ended = threading.get_ident(), threading.Event()

    def watch() -> None:
        while not ended.wait(_SECONDS):
            if _memory() - began > most:
                text = f"it took more than {units.size(most)} of memory"
            elif _free(folder) < min(_LEAST_DISK, disk):
                text = f"it left less than {units.size(_LEAST_DISK)} of disk in {folder}"
            else:
                continue
            _raise_in(caller, _error(text))
            return

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        _raise_in(caller, None)  # what came too late


def _error(text: str) -> type[MemoryError]:
    class TooMuchError(MemoryError):
        def __init__(self) -> None:
            super().__init__(text)

    return TooMuchError


def _raise_in(thread: int, error: type[MemoryError] | None) -> None:
    given = None if error is None else ctypes.py_object(error)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), given)


def _memory() -> int:
    """Bytes of this process's own, without files that are mapped into it."""
    found = psutil.Process().memory_info()
    return int(found.rss - getattr(found, "shared", 0))


def _free(folder: Path) -> int:
    there = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    return shutil.disk_usage(there).free
