"""Load the libraries of reports, figures and tables when they are needed."""

from __future__ import annotations

import importlib
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
