"""Run one command in the box, with limits of its output and its time."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass

from .processes import BoxProcesses, Sink, living_processes, open_pipe


class LimitedOutput:
    """The first bytes that a command writes, over all its streams."""

    def __init__(self, limit: int) -> None:
        """Keep at most `limit` bytes."""
        self.room = limit
        self.truncated = False

    def sink(self, into: bytearray) -> Sink:
        """Give a function that takes the pieces of one stream and keeps them in `into`."""

        def take(piece: bytes) -> None:
            into.extend(piece[: self.room])
            self.truncated = self.truncated or len(piece) > self.room
            self.room = max(0, self.room - len(piece))

        return take


@dataclass
class Finished:
    """The result of a command; `sandbox.base.Result` describes the fields."""

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
    """Run a program until it ends. Processes that it leaves in the background go on.

    Args:
        processes: Starts and watches the program.
        argv: Program and arguments.
        stdin: Its standard input.
        env: Additional environment variables.
        seconds: Time limit.
        limit: Bytes of output to keep.

    Raises:
        OSError: If the program cannot be started.
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
