"""The login bash of a box. It reads lines from a pipe, and reports on another when one is done."""

from __future__ import annotations

import os
import re
import shlex
import time
from dataclasses import dataclass, field

from .commands import Finished, LimitedOutput
from .processes import BoxProcesses, living_processes, living_under, open_pipe

_TYPED, _MARKS = 9, 8
_MOST_SAID = 1 << 16
_DEEPEST = 32

# Each call is one line, so that an inner shell which reads ahead takes no input of the outer one.
# Commands get an empty input, so that they do not read the lines that follow. Only `su` without a
# command starts a shell that must read them. The mark that a line is done goes to a separate pipe,
# so that no output can be mistaken for it.
_LINE = """\
su() {{ for _word in "$@"; do case $_word in -*c*) command su "$@"; return;; esac; done; \
if [ "$(id -u)" != 0 ]; then command su "$@"; return; fi; \
command printf 'su 0\\n' >&{marks}; command su "$@" <&{typed}; }}; \
eval {commands} {typed}<&0 </dev/null; command printf '%s %d\\n' {mark} "$?" >&{marks}
"""
_ENDS_IN_SU = re.compile(r"(^|;|&&|\|\|)\s*su(\s+(-|-l|--login|[a-z_][\w-]*))*\s*$")
_LEAVES = re.compile(r"(exit|logout)( \d+)?\s*")


@dataclass
class _Pending:
    """A line that was sent but is not done, with its mark and the shells that it started."""

    mark: str
    shells: set[int] = field(default_factory=set)


class LoginShell:
    """One login bash, from its start to its end."""

    def __init__(self, processes: BoxProcesses) -> None:
        """Start the shell.

        Raises:
            OSError: If no process can be started.
        """
        ends: list[int] = []
        try:
            for _ in range(3):
                ends.extend(open_pipe())
            typed, self._typed, self._out, out, self._marks, marks = ends
            theirs = {0: typed, 1: out, 2: out, _MARKS: marks}
            self._pid = processes.spawn(["bash", "--login"], {}, theirs)
        except BaseException:
            for fd in ends:
                os.close(fd)
            raise
        os.close(typed)
        # Kept open: a shell that closes its descriptors must not look like one that has ended.
        self._theirs = (out, marks)
        for fd in (self._typed, self._out, self._marks):
            os.set_blocking(fd, False)
        self._processes = processes
        self._said = bytearray()
        # Lines that wait for an inner shell, outermost first.
        self._stack: list[_Pending] = []
        self._status = 0
        self.ended = False

    def run(self, commands: str, seconds: float, limit: int) -> Finished:
        """Run commands until they are done; set `ended` if they or the time limit end the shell.

        Args:
            commands: Lines of bash.
            seconds: Time limit.
            limit: Bytes of output to keep.
        """
        before = living_processes()
        deadline = time.monotonic() + seconds
        kept, output = LimitedOutput(limit), bytearray()
        processes = self._processes
        processes.readers[self._out] = kept.sink(output)
        processes.readers[self._marks] = self._hear
        status: int | None = self._status
        for chunk in _chunks(commands.replace("\0", ""), nested=bool(self._stack)):
            # Restores `$?` of the last commands, which the line around them has changed.
            recalled = f"(exit {status})\n" if status else " "
            status = self._line(f"{recalled}{chunk}\n", before, deadline)
            if self.ended or status is None:
                break
        if status is None:
            shells = {self._pid}.union(*(line.shells for line in self._stack))
            processes.end(shells, before)
            self.ended = True
        processes.drain(self._out)
        if self.ended:
            self._close()
        else:
            self._status = status or 0
            # Later output of background processes stays in the pipe, for the next call.
            processes.readers.pop(self._out, None)
            processes.readers.pop(self._marks, None)
        return Finished(status, output, truncated=kept.truncated)

    def _line(self, commands: str, before: set[int], deadline: float) -> int | None:
        """Run one chunk in the innermost shell: its status, or None if time ran out."""
        pending = self._send(commands)
        entering = False
        status = 0
        while True:
            for mark, value in self._marks_said():
                if mark == "su" and len(self._stack) < _DEEPEST:
                    entering = True
                    pending = self._send(":")
                    continue
                index = next((i for i, line in enumerate(self._stack) if line.mark == mark), None)
                if index is None:
                    continue
                line = self._stack[index]
                if not entering or line is not pending:
                    status = value
                if line is pending:
                    del self._stack[index:]
                    if entering and self._stack:
                        self._stack[-1].shells |= living_under(b"su", before)
                    return status
                if entering:
                    # The inner shell did not start; this one goes on.
                    del self._stack[index]
                else:
                    # The inner shell has ended; the line that started it is done.
                    del self._stack[index:]
                    return status
            if self._pid in self._processes.statuses:
                self.ended = True
                return self._processes.statuses[self._pid]
            if time.monotonic() >= deadline:
                return None
            self._processes.watch(deadline)

    def _send(self, commands: str) -> _Pending:
        pending = _Pending(os.urandom(8).hex())
        line = _LINE.format(
            marks=_MARKS, typed=_TYPED, commands=shlex.quote(commands), mark=pending.mark
        )
        self._stack.append(pending)
        waiting = self._processes.writers.setdefault(self._typed, bytearray())
        waiting.extend(line.encode("utf-8", "replace"))
        return pending

    def _hear(self, piece: bytes) -> None:
        # Commands can write here too: more bytes than this are not marks.
        if len(self._said) < _MOST_SAID:
            self._said.extend(piece)

    def _marks_said(self) -> list[tuple[str, int]]:
        """Read the marks that came since the last call."""
        *lines, rest = bytes(self._said).split(b"\n")
        self._said[:] = rest[:_MOST_SAID]
        found = (re.fullmatch(rb"(su|[0-9a-f]{16}) (\d{1,3})", line) for line in lines)
        return [(mark[1].decode(), int(mark[2])) for mark in found if mark]

    def _close(self) -> None:
        self._processes.writers.pop(self._typed, None)
        for fd in (self._typed, *self._theirs):
            os.close(fd)
        for fd in (self._out, self._marks):
            self._processes.discard(fd)


def _chunks(commands: str, *, nested: bool) -> list[str]:
    """Cut commands after lines that start or leave an inner shell: another shell reads the rest."""
    chunks: list[str] = []
    lines: list[str] = []
    for line in commands.split("\n"):
        lines.append(line)
        starts = _ENDS_IN_SU.search(line)
        if starts or ((nested or chunks) and _LEAVES.fullmatch(line)):
            chunks.append("\n".join(lines))
            lines = []
    return [*chunks, "\n".join(lines)] if lines or not chunks else chunks
