"""Lines: connections between the host and the agent of a box, over which bytes go."""

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
    """A connection to the agent."""

    def send(self, data: bytes) -> None:
        """Send all bytes.

        Raises:
            OSError: If the agent is gone.
        """

    def receive(self, deadline: float) -> bytes | None:
        """Receive some bytes; empty if the agent is gone, None if time ran out.

        Args:
            deadline: Time of the monotonic clock.
        """

    def close(self) -> None:
        """Close the line, which ends the agent."""


class SocketLine:
    """A line over a socket."""

    def __init__(self, end: socket.socket) -> None:
        """Take one end of the socket."""
        end.settimeout(_SEND_SECONDS)
        self._socket = end

    def send(self, data: bytes) -> None:
        """Send all bytes; see `Line.send`."""
        self._socket.sendall(data)

    def receive(self, deadline: float) -> bytes | None:
        """Receive some bytes; see `Line.receive`."""
        try:
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            if not poll.poll(max(deadline - time.monotonic(), 0.0) * 1000):
                return None
            return self._socket.recv(_PIECE)
        except (ValueError, OSError):
            # Another thread closed the socket.
            return b""

    def close(self) -> None:
        """Close the line, which also wakes a thread that waits for bytes."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class DockerLine(SocketLine):
    """A line over Docker's attach stream, which brings frames of stdout and of stderr.

    Attributes:
        errors: Bytes of stderr.
    """

    _HEADER = struct.Struct(">BxxxI")
    _STDOUT = 1

    def __init__(self, stream: socket.SocketIO) -> None:
        """Take a stream that `attach_socket` returned."""
        # The response owns connection and stream, and closes them when it is deleted.
        self._response: Response = stream._response  # type: ignore[attr-defined]
        connection: socket.socket = stream._sock  # type: ignore[attr-defined]
        super().__init__(connection)
        self._kind = 0
        self._rest = 0
        self._head = b""
        self.errors = bytearray()

    def receive(self, deadline: float) -> bytes | None:
        """Receive some bytes of stdout; see `Line.receive`."""
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
        """Close the line."""
        super().close()
        self._response.close()
