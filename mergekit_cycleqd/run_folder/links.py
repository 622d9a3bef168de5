"""Symbolic links in a run folder, which may be a stranger's: none leads a command out of it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mergekit_cycleqd.errors import JournalError

_FOLDERS = ("elites", "report", "pictures", ".publish")
"""Folders that a run, a report or a push writes."""
_FILES = ("journal.jsonl", "retention.jsonl", "summary.md", "answers.json")
"""Files that get more lines, or are published. All others are replaced whole, links too."""


def refuse_links(folder: Path, *, for_report: bool = False) -> None:
    """See that what is written to a run folder stays in it, and that what is published is its own.

    Args:
        folder: The run folder.
        for_report: Whether only a report is written, which may be of files in a cache of the Hub.

    Raises:
        JournalError: If a link leads out of it.
    """
    for path in (folder / "report", folder / "pictures") if for_report else _places(folder):
        if path.is_symlink():
            raise JournalError(
                f"{path}: is a symbolic link to {os.readlink(path)}, and a run's own files must "
                "lie in its folder; put the file or folder itself there, or remove the link"
            )


def _places(folder: Path) -> Iterator[Path]:
    yield from (folder / name for name in (*_FILES, *_FOLDERS))
    for written in (folder / "elites", folder / ".publish"):
        if written.is_dir() and not written.is_symlink():
            yield from written.iterdir()
