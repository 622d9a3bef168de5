"""Measure how much main memory this process can still take."""

from __future__ import annotations

from pathlib import Path

import psutil

_GROUPS = (  # of control groups 2 and 1: folder, limit, usage, droppable cache
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


def available_memory() -> int:
    """Count the bytes that can be taken without swapping.

    Limits of the machine, of the container and of the process are respected.
    """
    free = int(psutil.virtual_memory().available)
    for folder, limit, usage, cached in _GROUPS:
        try:
            most, used, stat = (
                (Path(folder) / name).read_text().split() for name in (limit, usage, "memory.stat")
            )
        except OSError:
            continue
        if most[0].isdecimal():
            dropped = int(stat[stat.index(cached) + 1]) if cached in stat else 0
            free = min(free, max(0, int(most[0]) - int(used[0]) + dropped))
    if hasattr(psutil, "RLIMIT_AS"):
        soft, _ = psutil.Process().rlimit(psutil.RLIMIT_AS)
        if soft > 0:
            free = min(free, max(0, int(soft) - psutil.Process().memory_info().vms))
    return free
