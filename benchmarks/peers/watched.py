"""A command run to its end, and what it cost: itself and every process that came of it."""

from __future__ import annotations

import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import psutil

TOKEN = "PEERS_TOKEN"
"""Variable by which the processes of a command are known, however they were started."""
PAUSE = 0.2
MEMORY_EVERY = 5
ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TQDM_DISABLE": "1",
    "HF_HUB_OFFLINE": "1",
}


class Cost(NamedTuple):
    """What a command cost.

    Attributes:
        code: Its exit code.
        cpu: Seconds of the processor, user and system.
        wall: Seconds.
        memory: The most bytes at a time, where shared pages count once.
        written: Bytes written to disk, those of files that were removed included.
    """

    code: int
    cpu: float
    wall: float
    memory: int
    written: int


class Watch:
    """The processes that carry a token."""

    def __init__(self) -> None:
        self.token = uuid.uuid4().hex
        self.roots: set[int] = set()
        self._others: set[tuple[int, float]] = set()
        self._known: dict[tuple[int, float], psutil.Process] = {}
        self._cpu: dict[tuple[int, float], float] = {}
        self._written: dict[tuple[int, float], int] = {}
        self._memory = 0
        self._looks = 0

    def look(self) -> list[psutil.Process]:
        """Note what each process has used so far, and give those that live."""
        living = []
        for process in psutil.process_iter():
            try:
                key = (process.pid, process.create_time())
                if key in self._others:
                    continue
                if key not in self._known:
                    if not self._ours(process):
                        self._others.add(key)
                        continue
                    self._known[key] = process
                times = process.cpu_times()
                self._cpu[key] = times.user + times.system
                self._written[key] = process.io_counters().write_bytes
                if process.status() != psutil.STATUS_ZOMBIE:
                    living.append(process)
            except psutil.ZombieProcess:
                continue
            except (psutil.NoSuchProcess, psutil.AccessDenied, PermissionError):
                continue
        if self._looks % MEMORY_EVERY == 0:
            self._memory = max(self._memory, sum(_share(process) for process in living))
        self._looks += 1
        return living

    def _ours(self, process: psutil.Process) -> bool:
        """A child of ours, or one with the token: a title may overwrite a process's variables."""
        if process.pid in self.roots or any(process.ppid() == pid for pid, _ in self._known):
            return True
        return process.environ().get(TOKEN) == self.token

    def kill(self) -> None:
        """End all of them at once, as `kill -9` does."""
        while living := self.look():
            for process in living:
                try:
                    process.kill()
                except psutil.NoSuchProcess:
                    continue
            time.sleep(PAUSE)

    def cost(self, code: int, wall: float) -> Cost:
        """Add up what was noted."""
        cpu, written = sum(self._cpu.values()), sum(self._written.values())
        return Cost(code, cpu, wall, self._memory, written)


def run(
    command: Sequence[str],
    log: Path,
    variables: Mapping[str, str],
    until: Callable[[], bool] | None = None,
) -> Cost:
    """Run a command on one thread, and end what it leaves running.

    Args:
        command: The command.
        log: Gets what it prints.
        variables: Of its environment, beside ours.
        until: Kill all as soon as this is true.
    """
    watch = Watch()
    settings = {**os.environ, **ONE_THREAD, **variables, TOKEN: watch.token}
    began = time.monotonic()
    with log.open("ab") as said:
        started = subprocess.Popen(command, stdout=said, stderr=said, env=settings, cwd=log.parent)
        watch.roots.add(started.pid)
        while started.poll() is None:
            watch.look()
            if until is not None and until():
                watch.kill()
            time.sleep(PAUSE)
    wall = time.monotonic() - began
    watch.kill()
    return watch.cost(started.returncode, wall)


def _share(process: psutil.Process) -> int:
    """Bytes of a process, where a page of n processes counts as a n-th."""
    try:
        return int(process.memory_full_info().pss)
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return 0


def size_of(folder: Path) -> int:
    """Bytes of all files in a folder."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
