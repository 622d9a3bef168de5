"""How large a model's files beside its weights may be: libraries read them whole, and in copies."""

from __future__ import annotations

import os
from pathlib import Path

from mergekit_cycleqd.system import units

_CONFIG = 1 << 26
_TOKENIZER = 1 << 28
_MOST = {"tokenizer.json": _TOKENIZER, "vocab.json": _TOKENIZER, "merges.txt": _TOKENIZER}
"""Bytes; of all other texts `_CONFIG`. The largest known tokenizer has about 35 MB."""

MOST_TENSORS = 1 << 19
"""Tensors of one model; the largest known ones have about 100,000."""

MOST_SHARDS = 10_000


def text_fault(folder: Path) -> str | None:
    """Say which text of a model is too large to be read; None if none is.

    Args:
        folder: The model's folder.
    """
    for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
        if not entry.name.endswith((".json", ".jinja", ".txt")) or not entry.is_file():
            continue
        most, size = _MOST.get(entry.name, _CONFIG), entry.stat().st_size
        if size > most:
            return f"{entry.name} must have at most {units.size(most)}, got {units.size(size)}"
    return None


def count_fault(tensors: int) -> str | None:
    """Say that files of weights have too many tensors; None if they have not."""
    if tensors <= MOST_TENSORS:
        return None
    return f"must have at most {MOST_TENSORS:,} tensors, got {tensors:,}"
