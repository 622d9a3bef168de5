"""The folder of this user in which what was computed once is kept for later runs."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "MERGEKIT_CYCLEQD_CACHE"


def cache_folder() -> Path:
    """``$MERGEKIT_CYCLEQD_CACHE``, or a folder in the XDG cache folder."""
    if named := os.environ.get(VARIABLE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mergekit-cycleqd"
