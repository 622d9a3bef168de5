"""Lines of bytes between a box's agent and the host."""

from __future__ import annotations

import contextlib
import select
import socket
import struct
import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from requests import Response

_PIECE = 1 << 16
_SEND_SECONDS = 60.0


class Line(Protocol):
    """Bytes to and from the agent."""

    def send(self, data: bytes) -> None:
        """Send all of it.

        Raises:
            OSError: If the agent is gone.
        """

    def receive(self, deadline: float) -> bytes | None:
        """Some bytes; empty if the agent is gone, None if none came until then (monotonic)."""

    def close(self) -> None:
        """End the line, and so the agent."""


class SocketLine:
    """A line over a socket."""

    def __init__(self, end: socket.socket) -> None:
        """Take one end of it."""
        end.settimeout(_SEND_SECONDS)
        self._socket = end

    def send(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def receive(self, deadline: float) -> bytes | None:
        """Some bytes; empty if the agent is gone, None if none came until then."""
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(max(deadline - time.monotonic(), 0.0) * 1000):
                return None
            return self._socket.recv(_PIECE)
        except (ValueError, OSError):
            # Another thread closed it.
            return b""

    def close(self) -> None:
        """End the line: a thread that waits on it is woken."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class DockerLine(SocketLine):
    """A line over Docker's attach stream: what comes is in frames of stdout and of stderr.

    Attributes:
        errors: What came on stderr.
    """

    _HEADER = struct.Struct(">BxxxI")
    _STDOUT = 1

    def __init__(self, stream: socket.SocketIO) -> None:
        """Take the stream that `attach_socket` returns."""
        # It owns the connection and the stream, and closes them when it is forgotten.
        self._response: Response = stream._response  # type: ignore[attr-defined]
        connection: socket.socket = stream._sock  # type: ignore[attr-defined]
        super().__init__(connection)
        self._kind = 0
        self._rest = 0
        self._head = b""
        self.errors = bytearray()

    def receive(self, deadline: float) -> bytes | None:
        """Some bytes of stdout; empty if the agent is gone, None if none came until then."""
        while data := super().receive(deadline):
            said = self._unpacked(data)
            if said:
                return said
        return data

    def _unpacked(self, data: bytes) -> bytes:
        said = b""
        while data:
            if not self._rest:
                head = self._head + data
                self._head, data = head[: self._HEADER.size], head[self._HEADER.size :]
                if len(self._head) < self._HEADER.size:
                    break
                self._kind, self._rest = self._HEADER.unpack(self._head)
                self._head = b""
            piece, data = data[: self._rest], data[self._rest :]
            self._rest -= len(piece)
            if self._kind == self._STDOUT:
                said += piece
            else:
                self.errors += piece[: _PIECE - len(self.errors)]
        return said

    def close(self) -> None:
        """End the line."""
        super().close()
        self._response.close()
