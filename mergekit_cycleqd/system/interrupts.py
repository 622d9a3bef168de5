"""Ctrl-C and SIGTERM, let through only where they leave nothing half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """While entered, SIGINT and SIGTERM raise KeyboardInterrupt inside `welcome` alone.

    One that comes elsewhere waits for the next `welcome`. Outside the main thread, where Python
    sets no signal handlers, nothing changes.
    """

    def __init__(self) -> None:
        """Nothing came so far."""
        self._welcome = False
        self._came = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        """Take the signals over."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        """Give the signals back; one that still waits is dropped, for the work is done."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def welcome(self) -> Iterator[None]:
        """A stretch that may be interrupted.

        Raises:
            KeyboardInterrupt: If a signal came before or came inside, whatever became of it there.
        """
        self._welcome = True
        try:
            self._raise()
            yield
        finally:
            self._welcome = False
            self._raise()

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        if self._welcome:
            raise KeyboardInterrupt

    def _raise(self) -> None:
        if self._came:
            raise KeyboardInterrupt
