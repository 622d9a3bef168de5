"""Handle Ctrl-C and SIGTERM only where they leave nothing half done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """A context in which SIGINT and SIGTERM raise KeyboardInterrupt only inside `welcome`.

    A signal that comes elsewhere waits for the next `welcome`. Outside the main thread nothing
    changes, because Python sets no signal handlers there.
    """

    def __init__(self) -> None:
        self._welcome = False
        self._came = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        """Take over both signals."""
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._take)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the signal handlers. A signal that still waits is dropped: the work is done."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    @contextmanager
    def welcome(self) -> Iterator[None]:
        """Allow interrupts while this context lasts.

        Raises:
            KeyboardInterrupt: If a signal came before or inside, even if code inside caught it.
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
