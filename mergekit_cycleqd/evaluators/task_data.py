"""Find the data files that a task's own file names, wherever the command was started."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from glob import has_magic, iglob
from pathlib import Path
from typing import Any

from mergekit_cycleqd.system.replaced import replaced


@contextmanager
def data_beside(folders: Sequence[Path]) -> Iterator[None]:
    """Let `datasets` look up relative files in folders first, then from the working directory.

    Args:
        folders: The folders, the first one first.
    """
    import datasets

    load = datasets.load_dataset

    def load_placed(path: Any, *args: Any, **settings: Any) -> Any:
        for key in ("data_files", "data_dir"):
            if key in settings:
                settings[key] = _placed(settings[key], folders)
        if isinstance(path, str) and path.startswith("."):  # else it may be a name on the Hub
            path = _placed(path, folders)
        return load(path, *args, **settings)

    with replaced(datasets, "load_dataset", load_placed):
        yield


def _placed(files: Any, folders: Sequence[Path]) -> Any:
    """Make relative paths absolute where a folder has the file, in any form that datasets takes."""
    if isinstance(files, dict):
        return {split: _placed(each, folders) for split, each in files.items()}
    if isinstance(files, list | tuple):
        return [_placed(each, folders) for each in files]
    if not isinstance(files, str | os.PathLike) or os.path.isabs(files) or "://" in str(files):
        return files
    return next((str(folder / files) for folder in folders if _exists(folder / files)), files)


def _exists(path: Path) -> bool:
    if has_magic(str(path)):
        return next(iglob(str(path), recursive=True), None) is not None
    return path.exists()


def folders_of(file: Path | None, include_path: str | None) -> list[Path]:
    """List where a task's data are looked up first: beside its file, in and beside its folder.

    Args:
        file: The task's file; None if it has none.
        include_path: The folder that the recipe or the command names; None for lm-eval's own tasks.
    """
    if include_path is None:
        return []
    folder = Path(include_path).resolve()
    if file is not None and not file.resolve().is_relative_to(folder):
        return []  # it is lm-eval's own
    beside = [file.resolve().parent] if file is not None else []
    return list(dict.fromkeys([*beside, folder, folder.parent]))
