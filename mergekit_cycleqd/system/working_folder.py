"""The working directory may be a stranger's folder: nothing in it is imported.

This file is the first that `python -m mergekit_cycleqd` imports. It takes only what Python has
loaded by then: a file `typing.py` in the working directory would be taken for the library.
"""

from __future__ import annotations

import os
import sys

_PLACE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))


def take_off_path() -> None:
    """Take the working directory off `sys.path` where `python -m` put it to run this package.

    A program of the user that imports this package keeps its path, and so does who runs the package
    in the folder that it lies in.
    """
    package = __name__.partition(".")[0]
    if sys.argv[:1] != ["-m"] or not sys.orig_argv[-len(sys.argv)].endswith(package):
        return
    if sys.path[0] in ("", os.getcwd()) and os.path.abspath(sys.path[0]) != _PLACE:
        del sys.path[0]
