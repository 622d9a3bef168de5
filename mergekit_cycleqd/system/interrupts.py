"""Handle Ctrl-C and SIGTERM only where they leave nothing half done."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context in which SIGINT and SIGTERM raise KeyboardInterrupt only inside `welcome`.

    A signal that comes elsewhere waits for the next `welcome`. Outside the main thread nothing
    changes, because Python sets no signal handlers there. Processes that are forked meanwhile end
    by either signal, as other libraries expect of their pools.
    """

    def __init__(self) -> None:
        self._welcome = False
        self._came = False
        self._before: dict[int, object] = {}

    def __enter__(self) -> Interrupts:
        """Take over both signals."""
        if threading.current_thread() is threading.main_thread():
            _guard_forks()
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._take)
            _entered.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        """Restore the signal handlers. A signal that still waits is dropped: the work is done."""
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]
        if self in _entered:
            _entered.remove(self)

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

    def give_up(self) -> None:
        """Let both signals end this process, which was forked. An ignored one stays ignored."""
        for number, handler in self._before.items():
            ignored = handler is signal.SIG_IGN
            signal.signal(number, signal.SIG_IGN if ignored else signal.SIG_DFL)

    def _take(self, number: int, frame: FrameType | None) -> None:
        self._came = True
        if self._welcome:
            raise KeyboardInterrupt

    def _raise(self) -> None:
        if self._came:
            raise KeyboardInterrupt


_entered: list[Interrupts] = []
_masks = threading.local()


@cache
def _guard_forks() -> None:
    """Take the handlers from forked processes. Signals wait while a fork is under way.

    lm-eval's bootstrapping ends the workers of its pool by SIGTERM. With the handler of this
    process, a worker prints a traceback, or goes on and is waited for without end.
    """
    os.register_at_fork(before=_hold, after_in_parent=_release, after_in_child=_give_up)


def _hold() -> None:
    _masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS if _entered else ())


def _release() -> None:
    signal.pthread_sigmask(signal.SIG_SETMASK, _masks.before)


def _give_up() -> None:
    if _entered:
        _entered[0].give_up()  # whose handlers before were those of nobody here
        _entered.clear()
    _release()
