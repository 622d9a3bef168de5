"""Processes of Python that this one starts: they import nothing of the working directory."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

SAFE_PATH = "PYTHONSAFEPATH"


@contextmanager
def safe_path() -> Iterator[None]:
    """Let Python processes that are started meanwhile look for no module where they are started.

    `multiprocessing` starts them by ``python -c``, which looks in the working directory first, so
    that a stranger's ``pickle.py`` there would run. (Python 3.10 does not know the variable.)
    """
    known = os.environ.get(SAFE_PATH)
    os.environ[SAFE_PATH] = known or "1"
    try:
        yield
    finally:
        if known is None:
            del os.environ[SAFE_PATH]
        else:
            os.environ[SAFE_PATH] = known
