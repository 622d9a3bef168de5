"""lm-eval's bootstraps in this process, without a line for each metric."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout

_IN_PROCESS = "DISABLE_MULTIPROC"  # a variable of lm-eval


@contextmanager
def bootstraps_quietly() -> Iterator[None]:
    """Let lm-eval bootstrap in this process, without the line that it prints for each metric.

    The draws are the same as in a pool of processes. With so few, one process would do them all.
    """
    with ExitStack() as stack:
        if _IN_PROCESS not in os.environ:
            os.environ[_IN_PROCESS] = "1"
            stack.callback(os.environ.pop, _IN_PROCESS)
        stack.enter_context(redirect_stdout(_Said()))
        yield


class _Said(io.TextIOBase):
    """What tasks print goes to stderr, without lm-eval's words on bootstrapping."""

    def __init__(self) -> None:
        self._hides = False

    def write(self, text: str) -> int:
        self._hides |= text.startswith("bootstrapping for stddev")
        if not self._hides:
            return sys.stderr.write(text)
        self._hides = not text.endswith("\n")
        return len(text)
