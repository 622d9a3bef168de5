"""One command in the box: its output is kept to a limit, its time is watched."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from .processes import BoxProcesses, Sink, living_processes, open_pipe


class LimitedOutput:
    """The first bytes of what a command writes, over all its streams."""

    def __init__(self, limit: int) -> None:
        """Keep `limit` bytes."""
        self.room = limit
        self.truncated = False

    def sink(self, into: bytearray) -> Sink:
        """Where one of the streams goes."""

        def take(piece: bytes) -> None:
            into.extend(piece[: self.room])
            self.truncated = self.truncated or len(piece) > self.room
            self.room = max(0, self.room - len(piece))

        return take


@dataclass
class Finished:
    """What came of a command, as `Result` names it."""

    returncode: int | None
    output: bytes | bytearray
    errors: bytes | bytearray = b""
    truncated: bool = False


def run_command(
    processes: BoxProcesses,
    argv: list[str],
    stdin: str,
    env: dict[str, str],
    seconds: float,
    limit: int,
) -> Finished:
    """Run a program until it ends; what it leaves in the background lives on.

    Raises:
        OSError: If it cannot be started.
    """
    before = living_processes()
    deadline = time.monotonic() + seconds
    kept, output, errors = LimitedOutput(limit), bytearray(), bytearray()
    ends: list[int] = []
    try:
        for _ in range(3):
            ends.extend(open_pipe())
        theirs = {0: ends[0], 1: ends[3], 2: ends[5]}
        pid = processes.spawn(argv, env, theirs)
    except BaseException:
        for fd in ends:
            os.close(fd)
        raise
    for fd in theirs.values():
        os.close(fd)
    feed, out, err = ends[1], ends[2], ends[4]
    for fd in (feed, out, err):
        os.set_blocking(fd, False)
    processes.readers[out] = kept.sink(output)
    processes.readers[err] = kept.sink(errors)
    processes.writers[feed] = bytearray(stdin.encode("utf-8", "replace"))
    fed = False
    while pid not in processes.statuses and time.monotonic() < deadline:
        if not fed and feed not in processes.writers:
            os.close(feed)
            fed = True
        processes.watch(deadline)
    status = processes.statuses.get(pid)
    if status is None:
        processes.end({pid}, before)
    if not fed:
        processes.writers.pop(feed, None)
        os.close(feed)
    for fd in (out, err):
        processes.drain(fd)
        processes.discard(fd)
    return Finished(status, output, errors, kept.truncated)
