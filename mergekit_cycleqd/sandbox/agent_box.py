"""A box whose first process is the agent of `inside`: the host's side of the line to it."""

from __future__ import annotations

import io
import json
import struct
import threading
import time
import zipfile
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Any

from mergekit_cycleqd.sandbox.base import Backend, Box, Limits, Result, SandboxError, Shell
from mergekit_cycleqd.sandbox.lines import Line

AGENT_PATH = "/run/box"
AGENT_ARGV = ("python3", "-I", "-S", "-B", AGENT_PATH)
# What useradd, su, chown and servers on low ports need; none of it reaches out of a box.
CAPABILITIES = (
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_NET_BIND_SERVICE",
    "CAP_SETGID",
    "CAP_SETUID",
)

_START_SECONDS = 60.0
_GRACE_SECONDS = 30.0
_KILLED = 137


@cache
def agent_archive() -> bytes:
    """The agent as one file that python runs: a zip of the package `inside`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in files("mergekit_cycleqd.sandbox").joinpath("inside").iterdir():
            if file.name.endswith(".py"):
                archive.writestr(f"inside/{file.name}", file.read_bytes())
        archive.writestr("__main__.py", "from inside.agent import main\n\nmain()\n")
    return buffer.getvalue()


class AgentBox(Box):
    """What all backends share: requests go over a line, and answers come back in time."""

    def __init__(self, line: Line, limits: Limits) -> None:
        """Take a line whose other end an agent has, or will have."""
        self._line = line
        self._limits = limits
        self._lock = threading.Lock()
        self._shell = _AgentShell(self)
        self._closed = False
        self._left = False
        self._dead: Result | None = None

    @property
    def closed(self) -> bool:
        """Whether it was closed."""
        return self._closed

    @abstractmethod
    def _cause_of_end(self) -> str | None:
        """How the box's own doing ended it; None if it was not that."""

    @abstractmethod
    def _last_error(self) -> str:
        """What the machinery of a box that is gone wrote before."""

    @abstractmethod
    def _destroy(self) -> None:
        """End every process, and give back what the box held."""

    def _check(self) -> None:
        """Look after limits that nothing else holds; called every second of a command."""

    def wait_ready(self) -> None:
        """Wait for the agent's first frame.

        Raises:
            SandboxError: If it does not come.
        """
        ready = self._read_frame(time.monotonic() + _START_SECONDS)
        if not ready:
            reason = self._last_error() if ready is not None else "no answer"
            raise SandboxError(f"a box did not start: {reason}")

    def run(
        self,
        argv: Sequence[str],
        stdin: str = "",
        timeout: float | None = None,
        env: Mapping[str, str] | None = None,
    ) -> Result:
        """Run a program as root of the box: see `Box.run`."""
        if not argv:
            raise ValueError("argv: needs a program, got nothing")
        request = {"argv": list(argv), "stdin": stdin, "env": dict(env or {})}
        return self.ask(request, timeout)

    def shell(self) -> Shell:
        """The box's login shell."""
        return self._shell

    def close(self) -> None:
        """End every process of the box and drop all that it wrote."""
        if not self._closed:
            self._closed = True
            self._line.close()
            self._destroy()

    def ask(self, request: dict[str, Any], timeout: float | None) -> Result:
        """Have the agent do something: the one way into the box.

        Raises:
            SandboxError: If the box broke, or is closed.
        """
        seconds = self._limits.seconds if timeout is None else timeout
        request |= {"seconds": seconds, "limit": self._limits.output}
        with self._lock:
            if self._closed or self._left:
                raise SandboxError("the box is closed" if self._closed else "the box broke before")
            if self._dead is not None:
                return self._dead
            # Until the answer is there: one that nobody waited for is not taken for the next.
            self._left = True
            result = self._exchange(request, seconds)
            self._left = False
            return result

    def _exchange(self, request: dict[str, Any], seconds: float) -> Result:
        content = json.dumps(request).encode()
        try:
            self._line.send(struct.pack(">I", len(content)) + content)
        except OSError:
            answer: dict[str, Any] | None = {}
        else:
            answer = self._read_frame(time.monotonic() + seconds + _GRACE_SECONDS)
        if answer is None:
            # So little is left to the agent that it cannot even say that time ran out.
            self._dead = Result(_KILLED, "", "the box stood still, and was ended\n")
            self._line.close()
            return Result(None, "", "the box stood still, and was ended\n")
        if not answer:
            if self._closed:
                raise SandboxError("the box was closed in the middle of a command")
            how = self._cause_of_end()
            if how is None:
                raise SandboxError(f"a box broke: {self._last_error()}")
            self._dead = Result(_KILLED, "", f"the box ended: {how}\n")
            return self._dead
        return Result(**answer)

    def _read_frame(self, deadline: float) -> dict[str, Any] | None:
        """One answer; empty if the agent is gone, None if time ran out."""
        data = bytearray()
        length = 4
        known = False
        while len(data) < length:
            piece = self._line.receive(min(deadline, time.monotonic() + 1.0))
            if piece == b"":
                return {}
            if piece is None:
                if time.monotonic() >= deadline:
                    return None
                self._check()
                continue
            data += piece
            if not known and len(data) >= 4:
                (size,) = struct.unpack(">I", data[:4])
                # JSON takes six characters at most for one byte of output.
                if size > 6 * self._limits.output + 4096:
                    raise SandboxError(f"a box broke: it answered with {size} bytes")
                length, known = 4 + size, True
        answer: dict[str, Any] = json.loads(data[4:])
        return answer


class AgentBackend(Backend):
    """What all backends share: they know their open boxes."""

    def __init__(self, limits: Limits) -> None:
        """Make boxes with these limits."""
        self.limits = limits
        self._boxes: set[AgentBox] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def _new(self) -> AgentBox:
        """Start one box."""

    def open(self) -> Box:
        """A new box."""
        box = self._new()
        with self._lock:
            self._boxes = {other for other in self._boxes if not other.closed} | {box}
        return box

    def close(self) -> None:
        """Close the boxes that are still open."""
        with self._lock:
            boxes, self._boxes = self._boxes, set()
        for box in boxes:
            box.close()


class _AgentShell(Shell):
    def __init__(self, box: AgentBox) -> None:
        self._box = box

    def run(self, commands: str, timeout: float | None = None) -> Result:
        """Run a piece of bash: see `Shell.run`."""
        return self._box.ask({"commands": commands}, timeout)
