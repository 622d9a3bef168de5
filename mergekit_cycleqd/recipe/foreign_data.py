"""Where a stranger's task file takes its data from, as far as that is not a dataset of the Hub."""

from __future__ import annotations

import os
import re

_HUB_ID = re.compile(r"(?!.*\.\.)\w[\w.-]*(/[\w.-]+)?", re.ASCII)
_LOADERS = frozenset({"cache", "eval", "generator", "iceberg", "pandas", "spark", "sql"})
"""Names that `datasets` takes for other sources than files; some versions read pickles by one."""
_REACHING = frozenset(
    {
        *("cache_dir", "download_config", "num_proc", "save_infos", "storage_options"),
        *("token", "use_auth_token", "con", "sql", "fs"),
    }
)
"""Arguments of `datasets.load_dataset` that write elsewhere, start processes or ask others."""
_ARGUMENT = re.compile(r"(?:^|\.)dataset_kwargs\.(\w+)")


def data_source(key: str, text: str) -> str | None:
    """Why a text of a task file reaches beyond the datasets of the Hub; None if it does not.

    Args:
        key: Where it stands, such as ``dataset_kwargs.data_files.test``.
        text: The text.
    """
    found = _ARGUMENT.search(key)
    if found is not None:
        name = found[1]
        if name in ("data_files", "data_dir"):
            return None if _is_on_hub(text) else f"{text!r}, a file that is looked for here"
        return f"{text!r}, by which loading data reaches further" if name in _REACHING else None
    if key.rpartition(".")[2] != "dataset_path" or not text:
        return None
    if text.endswith(".py"):
        return f"{text!r}, a script that makes a dataset"
    if text in _LOADERS or _HUB_ID.fullmatch(text) is None:
        return f"{text!r}, which is no dataset of the Hub"
    return f"{text!r}, a folder here" if os.path.isdir(text) else None


def is_address(text: str) -> bool:
    """Whether a text asks a server, or another system of files, that is not the Hub.

    `fsspec` also takes chains of them, such as ``simplecache::http://...``.
    """
    return any(
        re.match(r"(?!hf://)[A-Za-z][A-Za-z0-9+.-]*://\S", part.strip())
        for part in text.split("::")
    )


def _is_on_hub(text: str) -> bool:
    return re.fullmatch(r"hf://datasets/(?!.*\.\.)[^:\s]+", text) is not None
