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

    Raises:
        SystemExit: If it cannot be made; the message has the call that failed.
    """
    python, stamp = folder / "bin" / "python", folder / STAMP
    wanted = "\n".join(" ".join(step) for step in steps) + "\n"
    if stamp.is_file() and stamp.read_text() == wanted:
        return python
    print(f"making {folder} with pip: {'; '.join(wanted.splitlines())}", file=sys.stderr)
    calls = [] if python.exists() else [[sys.executable, "-m", "venv", str(folder)]]
    calls += [[str(python), "-m", "pip", "install", "--quiet", *step] for step in steps]
    for call in calls:
        if code := subprocess.run(call).returncode:
            raise SystemExit(f"exit {code}: {' '.join(call)}")
    stamp.write_text(wanted)
    return python
