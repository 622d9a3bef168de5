"""The host's side of a box: it sends requests over a line to the agent, which runs in the box."""

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
# Needed by useradd, su, chown and servers on low ports. None has an effect outside of the box.
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
    """Pack the agent into one file that python runs: a zip of the package `inside`."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for file in files("mergekit_cycleqd.sandbox").joinpath("inside").iterdir():
            if file.name.endswith(".py"):
                archive.writestr(f"inside/{file.name}", file.read_bytes())
        archive.writestr("__main__.py", "from inside.agent import main\n\nmain()\n")
    return buffer.getvalue()


class AgentBox(Box):
    """The common part of boxes: requests to the agent over a line, and answers within a time."""

    def __init__(self, line: Line, limits: Limits) -> None:
        """Take a line to an agent, which may start later.

        Args:
            line: The line.
            limits: Limits of the box.
        """
        self._line = line
        self._limits = limits
        self._lock = threading.Lock()
        self._shell = _AgentShell(self)
        self._closed = False
        self._waiting = False
        self._dead: Result | None = None

    @property
    def closed(self) -> bool:
        """Whether the box was closed."""
        return self._closed

    @abstractmethod
    def _cause_of_end(self) -> str | None:
        """Say how the commands in the box ended it; None if they did not."""

    @abstractmethod
    def _last_error(self) -> str:
        """The last error message of the backend of a box that has ended."""

    @abstractmethod
    def _destroy(self) -> None:
        """End all processes of the box and release what it holds."""

    def _check(self) -> None:
        """Check limits that nothing else enforces; called every second of a command."""

    def wait_ready(self) -> None:
        """Wait for the agent's first message.

        Raises:
            SandboxError: If no message comes.
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
        """Run a program as root of the box; see `Box.run`."""
        if not argv:
            raise ValueError("argv: needs a program, got nothing")
        request = {"argv": list(argv), "stdin": stdin, "env": dict(env or {})}
        return self.ask(request, timeout)

    def shell(self) -> Shell:
        """The box's login shell."""
        return self._shell

    def close(self) -> None:
        """End all processes of the box and delete everything that it wrote."""
        if not self._closed:
            self._closed = True
            self._line.close()
            self._destroy()

    def ask(self, request: dict[str, Any], timeout: float | None) -> Result:
        """Send a request to the agent. All commands in the box go this way.

        Args:
            request: The request, as JSON values.
            timeout: Seconds; None for the limit of the box.

        Raises:
            SandboxError: If the box broke or is closed.
        """
        seconds = self._limits.seconds if timeout is None else timeout
        request |= {"seconds": seconds, "limit": self._limits.output}
        with self._lock:
            if self._closed or self._waiting:
                raise SandboxError("the box is closed" if self._closed else "the box broke before")
            if self._dead is not None:
                return self._dead
            # If this wait is interrupted, a late answer must not be taken for the next one.
            self._waiting = True
            result = self._exchange(request, seconds)
            self._waiting = False
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
            # The agent lacks the resources to report that time ran out.
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
        """Read one message; empty if the agent is gone, None if time ran out."""
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
                # JSON takes at most six characters for one byte of output.
                if size > 6 * self._limits.output + 4096:
                    raise SandboxError(f"a box broke: it answered with {size} bytes")
                length, known = 4 + size, True
        answer: dict[str, Any] = json.loads(data[4:])
        return answer


class AgentBackend(Backend):
    """The common part of backends: a list of open boxes."""

    def __init__(self, limits: Limits) -> None:
        """Make a backend whose boxes have these limits."""
        self.limits = limits
        self._boxes: set[AgentBox] = set()
        self._lock = threading.Lock()

    @abstractmethod
    def _new(self) -> AgentBox:
        """Start a new box."""

    def open(self) -> Box:
        """Open a new box."""
        box = self._new()
        with self._lock:
            self._boxes = {other for other in self._boxes if not other.closed} | {box}
        return box

    def close(self) -> None:
        """Close all boxes that are still open."""
        with self._lock:
            boxes, self._boxes = self._boxes, set()
        for box in boxes:
            box.close()


class _AgentShell(Shell):
    def __init__(self, box: AgentBox) -> None:
        self._box = box

    def run(self, commands: str, timeout: float | None = None) -> Result:
        """Run lines of bash; see `Shell.run`."""
        return self._box.ask({"commands": commands}, timeout)
