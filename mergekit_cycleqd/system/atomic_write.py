"""Write files atomically: after a crash a file is the old one or the new one."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from mergekit_cycleqd.errors import JournalError

PARTIAL = ".partial"


def write_atomically(path: Path, content: str | bytes) -> None:
    """Replace a file so that a crash leaves the old one or the new one, never half of it.

    A symbolic link in the file's place, or in that of its partial file, is replaced, not followed.

    Args:
        path: The file; its folder is made if need be.
        content: What it is to hold; text is written as UTF-8.

    Raises:
        JournalError: If it cannot be written.
    """
    partial = path.with_name(f".{path.name}{PARTIAL}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial.unlink(missing_ok=True)  # of a crash, or a link of whoever made the folder
        with partial.open("xb") as stream:
            stream.write(content.encode() if isinstance(content, str) else content)
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink()
        raise JournalError(
            f"{path}: cannot be written: {error.strerror}; mend that and run the same command: "
            "nothing that was evaluated is lost"
        ) from error
