"""Limits of memory and processes by control groups of version 1 or 2."""

from __future__ import annotations

import contextlib
import os
import time
import uuid
from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.sandbox.base import Limits, SandboxError

_GONE_SECONDS = 5.0
# Processes that do not count: bwrap outside of the box, and the agent.
_MACHINERY = 2


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """Where control groups are made on this machine.

    Attributes:
        memory: Parent folder of groups that limit memory.
        pids: Parent folder of groups that limit processes; in version 2 the same folder.
        unified: Whether the groups are of version 2.
    """

    memory: Path
    pids: Path
    unified: bool


def find_hierarchy(mounts: Path = Path("/proc/self/mounts")) -> Hierarchy | None:
    """Find where groups with both limits can be made on this machine; None if nowhere.

    Args:
        mounts: The table of mounts.
    """
    found: dict[str, Path] = {}
    for line in mounts.read_text().splitlines():
        _, folder, kind, options, *_ = line.split()
        place = Path(folder)
        if kind == "cgroup":
            for controller in {"memory", "pids"} & set(options.split(",")):
                found.setdefault(controller, place)
        elif kind == "cgroup2" and _offers(place):
            found.setdefault("unified", place)
    if "unified" in found:
        return Hierarchy(found["unified"], found["unified"], unified=True)
    if {"memory", "pids"} <= found.keys() and all(
        os.access(found[name], os.W_OK) for name in ("memory", "pids")
    ):
        return Hierarchy(found["memory"], found["pids"], unified=False)
    return None


def _offers(place: Path) -> bool:
    """Whether groups in a folder of version 2 have both limits, or can be given them."""
    try:
        wanted = {"memory", "pids"} - set((place / "cgroup.subtree_control").read_text().split())
        if wanted:
            (place / "cgroup.subtree_control").write_text(" ".join(f"+{name}" for name in wanted))
    except OSError:
        return False
    return os.access(place, os.W_OK)


class Group:
    """The control group of one box."""

    def __init__(self, hierarchy: Hierarchy, limits: Limits) -> None:
        """Make the group.

        Args:
            hierarchy: Where the group is made.
            limits: Limits of the box.

        Raises:
            SandboxError: If the kernel refuses.
        """
        name = f"cycleqd-{os.getpid()}-{uuid.uuid4().hex[:12]}"
        self._unified = hierarchy.unified
        self._memory = hierarchy.memory / name
        self._pids = hierarchy.pids / name
        self.folders = list(dict.fromkeys((self._memory, self._pids)))
        try:
            for folder in self.folders:
                folder.mkdir()
            (self._pids / "pids.max").write_text(str(limits.processes + _MACHINERY))
            if self._unified:
                (self._memory / "memory.max").write_text(str(limits.memory))
                self._if_there("memory.swap.max", 0)
            else:
                (self._memory / "memory.limit_in_bytes").write_text(str(limits.memory))
                self._if_there("memory.memsw.limit_in_bytes", limits.memory)
        except OSError as error:
            self.remove()
            raise SandboxError(f"a box's control group cannot be made: {error}") from error

    def _if_there(self, name: str, value: int) -> None:
        """Set a value if its file exists: kernels without swap accounting lack some."""
        if (self._memory / name).exists():
            (self._memory / name).write_text(str(value))

    def remove(self) -> None:
        """Remove the group as soon as its last process is gone."""
        deadline = time.monotonic() + _GONE_SECONDS
        for folder in self.folders:
            while folder.is_dir():
                with contextlib.suppress(OSError):
                    folder.rmdir()
                    break
                if time.monotonic() > deadline:
                    return
                time.sleep(0.005)
