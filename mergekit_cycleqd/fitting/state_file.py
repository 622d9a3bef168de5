"""A fit on disk between two steps, so that a run that is stopped within it loses one step."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.fitting.loop import State
from mergekit_cycleqd.run_folder.journal_lines import decode, encode
from mergekit_cycleqd.system.atomic_write import write_atomically

_ARRAYS = ("weights", "first", "second", "tail")


def save(path: Path, state: State) -> None:
    """Write a state, with every number exact to the last bit.

    Raises:
        JournalError: If it cannot be written.
    """
    content: dict[str, Any] = {name: getattr(state, name).tolist() for name in _ARRAYS}
    write_atomically(path, encode({"step": state.step, "losses": state.losses, **content}))


def load(path: Path) -> State | None:
    """Read a state; None if there is none, or it is damaged and the fit must start anew."""
    try:
        content = decode(path.read_bytes(), path, 1)
        arrays = {name: np.array(content[name], dtype=np.float64) for name in _ARRAYS}
        losses = [float(loss) for loss in content["losses"]]
        return State(step=int(content["step"]), losses=losses, **arrays)
    except (OSError, JournalError, KeyError, TypeError, ValueError):
        return None
