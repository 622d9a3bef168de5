"""Load the libraries of reports, figures and tables when they are needed."""

from __future__ import annotations

import importlib
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

from mergekit_cycleqd.errors import CycleQDError


class ReportError(CycleQDError):
    """A report cannot be written."""


def load(module: str) -> ModuleType:
    """Import a module of plotly, matplotlib, pandas or pyarrow.

    Raises:
        ReportError: If the library is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise ReportError(
            f"this needs {package}, which is not installed: pip install 'mergekit-cycleqd[report]'"
        ) from None


@contextmanager
def plain_figures() -> Iterator[None]:
    """Draw with matplotlib's own settings.

    matplotlib obeys a file `matplotlibrc` of the working directory, which may be a stranger's. It
    could let every text be set by LaTeX, in a process that reads files.
    """
    matplotlib = load("matplotlib")
    settings = {k: v for k, v in matplotlib.rcParamsDefault.items() if not k.startswith("backend")}
    with matplotlib.rc_context(settings):
        yield
