"""The index of a model in several safetensors files, and whether it says what they hold."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import first_names

INDEX = "model.safetensors.index.json"
_BUFFERS = (".inv_freq", ".position_ids", ".masked_bias")
"""Ends of names of buffers that older files hold, and models make themselves."""
_MEND = "get all files of one revision, or save the model again with save_pretrained"


def is_shard(name: Any) -> bool:
    """Whether a shard is in the folder itself: an index from elsewhere may name any path."""
    return isinstance(name, str) and name == os.path.basename(name) and name[-12:] == ".safetensors"


def missing_shards(folder: Path, files: Collection[str]) -> str | None:
    """Say which files of an index are not there; None if all are.

    Args:
        folder: The model's folder.
        files: The files that the index names.
    """
    missing = [file for file in files if "\0" in file or not (folder / file).is_file()]
    if not missing:
        return None
    return f"{INDEX} names {first_names(missing)}, not there in {folder}; {_MEND}"


def index_fault(listed: Mapping[str, str], held: Mapping[str, Collection[str]]) -> str | None:
    """Say where an index and its files do not agree; None if they do.

    transformers reads what is in the files, and mergekit what is in the index.

    Args:
        listed: The file of each tensor, as the index has it.
        held: The tensors of each file.
    """
    lacking = [name for name, file in listed.items() if name not in held[file]]
    if lacking:
        file = listed[lacking[0]]
        return f"{INDEX} says that {first_names(lacking)} is in {file}, which lacks it; {_MEND}"
    inside = [name for names in held.values() for name in names]
    unlisted = sorted(name for name in inside if name not in listed)
    unlisted = [name for name in unlisted if not name.endswith(_BUFFERS)]
    if unlisted:
        return f"{INDEX} lacks {first_names(unlisted)}, which its files have; {_MEND}"
    return None
