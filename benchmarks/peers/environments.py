"""An environment of its own for each tool, made with pip."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONSTRAINTS = ROOT / "constraints.txt"
STAMP = "peer.txt"


def environment(folder: Path, steps: Sequence[Sequence[str]]) -> Path:
    """Make an environment, unless it is there with the same packages.

    Args:
        folder: Where it is, or will be.
        steps: What each call of `pip install` gets.

    Returns:
        Its interpreter.
    """
    python, stamp = folder / "bin" / "python", folder / STAMP
    wanted = "\n".join(" ".join(step) for step in steps) + "\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    if not python.exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    for step in steps:
        subprocess.run([python, "-m", "pip", "install", "--quiet", *step], check=True)
    stamp.write_text(wanted)
    return python
