"""Answer the host's requests, one at a time. A message is 4 bytes of length, then JSON."""

from __future__ import annotations

import ctypes
import json
import os
import resource
import struct
import sys
import time
from typing import Any

from .commands import Finished, run_command
from .processes import BoxProcesses
from .seccomp import install_filter
from .shell import LoginShell

_PR_SET_DUMPABLE = 4
_CANNOT_START = 126
# What the kernel counts for a user, whose number other boxes share, and for the whole machine.
_LIMITS = {
    resource.RLIMIT_CORE: 1,
    resource.RLIMIT_NOFILE: 256,
    resource.RLIMIT_MEMLOCK: 64 << 10,
    resource.RLIMIT_MSGQUEUE: 0,
    resource.RLIMIT_SIGPENDING: 1024,
}


class Agent:
    """The box's side of the line to the host."""

    def __init__(self, hears: int, speaks: int) -> None:
        """Use two file descriptors, which may be the same: to hear requests and to send answers."""
        self._hears = hears
        self._speaks = speaks
        self._processes = BoxProcesses(hears)
        self._shell: LoginShell | None = None

    def serve(self) -> None:
        """Answer requests until the host is gone."""
        self._send({"ready": True})
        while True:
            while not self._processes.wait_once(time.monotonic() + 3600):
                pass
            try:
                answer = self._answer(self._receive())
            except (OSError, MemoryError) as error:
                answer = Finished(
                    _CANNOT_START, b"", f"the box can start nothing: {error}\n".encode()
                )
            self._send(
                {
                    "returncode": answer.returncode,
                    "output": answer.output.decode("utf-8", "replace"),
                    "errors": answer.errors.decode("utf-8", "replace"),
                    "truncated": answer.truncated,
                }
            )

    def _answer(self, request: dict[str, Any]) -> Finished:
        seconds, limit = float(request["seconds"]), int(request["limit"])
        if "argv" in request:
            argv, stdin, env = request["argv"], request["stdin"], request["env"]
            return run_command(self._processes, argv, stdin, env, seconds, limit)
        if self._shell is None or self._shell.ended:
            self._shell = LoginShell(self._processes)
        return self._shell.run(request["commands"], seconds, limit)

    def _receive(self) -> dict[str, Any]:
        (length,) = struct.unpack(">I", self._exactly(4))
        request: dict[str, Any] = json.loads(self._exactly(length))
        return request

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            piece = os.read(self._hears, count - len(data))
            if not piece:
                os._exit(0)
            data += piece
        return bytes(data)

    def _send(self, answer: dict[str, Any]) -> None:
        content = json.dumps(answer).encode()
        data = memoryview(struct.pack(">I", len(content)) + content)
        while data:
            try:
                data = data[os.write(self._speaks, data) :]
            except BrokenPipeError:
                os._exit(0)


def _largest(limit: int) -> int:
    return sys.maxsize if limit == resource.RLIM_INFINITY else limit


def main() -> None:
    """Start the agent as the first process of a box."""
    # Commands have the agent's user. So its file is deleted, it writes no core dumps to the host,
    # and commands cannot trace it.
    os.unlink(sys.path[0])
    for limit, value in _LIMITS.items():
        value = min(value, _largest(resource.getrlimit(limit)[1]))
        resource.setrlimit(limit, (value, value))
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    install_filter()
    hears, speaks = os.dup(0), os.dup(1)
    agent = Agent(hears, speaks)
    null = os.open("/dev/null", os.O_RDWR)
    for fd in (0, 1, 2):
        os.dup2(null, fd)
    os.close(null)
    agent.serve()
