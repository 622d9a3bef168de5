"""Settings of numba, which ribs brings along."""

from __future__ import annotations

from contextlib import suppress
from typing import Any


def ignore_working_folder() -> None:
    """Keep numba from obeying a `.numba_config.yaml` of the working directory from now on.

    Such a file of a stranger could name the folder of numba's cache, whose pickles numba reads.
    Variables of the environment, such as `NUMBA_CACHE_DIR`, count as before.
    """
    with suppress(ImportError):
        from numba.core import config

        settings: Any = config
        settings._config_fname = ""  # it is looked for again whenever numba compiles
        settings.reload_config()
