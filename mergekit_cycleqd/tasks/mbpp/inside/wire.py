"""The line between judge and answer: either side asks for an operation, and waits for the reply.

A message is 4 bytes of length, then JSON. While a side waits, it serves what the other asks.
"""

from __future__ import annotations

import json
import struct
from os import read, write  # by name: the program may replace those of `os`

TYPE_CHECKING = False  # typing takes a third of the time that Python needs to start
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

LARGEST = 1 << 28  # bytes of one message


class Gone(Exception):
    """The other side has ended, or says what is no message."""


class Wire:
    """One end of the line."""

    def __init__(
        self,
        hears: int,
        speaks: int,
        serve: Callable[[dict[str, Any]], dict[str, Any]],
        wait: Callable[[], object] = lambda: None,
    ) -> None:
        """Use two file descriptors.

        Args:
            hears: Where messages come from.
            speaks: Where messages go.
            serve: Makes the reply to what the other side asks.
            wait: Called before each read; may raise `Gone`.
        """
        self._hears, self._speaks = hears, speaks
        self._serve, self._wait = serve, wait

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request, and serve the other side until its reply comes.

        Raises:
            Gone: If none comes.
        """
        self._send({"ask": request})
        while True:
            message = self._receive()
            if "reply" in message:
                return _mapping(message["reply"])
            self._send({"reply": self._serve(_mapping(message.get("ask")))})

    def serve(self) -> None:
        """Serve one request.

        Raises:
            Gone: If none comes.
        """
        self._send({"reply": self._serve(_mapping(self._receive().get("ask")))})

    def _send(self, message: dict[str, Any]) -> None:
        content = json.dumps(message).encode()
        data = memoryview(struct.pack(">I", len(content)) + content)
        try:
            while data:
                data = data[write(self._speaks, data) :]
        except OSError as error:
            raise Gone("the process ended") from error

    def _receive(self) -> dict[str, Any]:
        (size,) = struct.unpack(">I", self._exactly(4))
        if size > LARGEST:
            raise Gone("the program broke the line to its tests")
        try:
            return _mapping(json.loads(self._exactly(size)))
        except (ValueError, RecursionError) as error:
            raise Gone("the program broke the line to its tests") from error

    def _exactly(self, count: int) -> bytes:
        data = bytearray()
        while len(data) < count:
            self._wait()
            piece = read(self._hears, min(count - len(data), 1 << 20))
            if not piece:
                raise Gone("the process ended")
            data += piece
        return bytes(data)


def _mapping(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Gone("the program broke the line to its tests")
    return value
