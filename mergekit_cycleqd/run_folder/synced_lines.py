"""A file of lines to which is only added, each on disk before the work goes on."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.run_folder.journal_lines import (
    decode,
    each_line,
    encode,
    end_of_last_line,
    torn,
)

T = TypeVar("T")


class SyncedLines:
    """The file, open for more lines; one process at a time."""

    def __init__(self, path: Path) -> None:
        """Open or make it, and drop a last line that a crash tore.

        Args:
            path: The file.

        Raises:
            OSError: If it cannot be opened or written to.
        """
        self._path = path
        self._stream = path.open("ab")
        try:
            self._stream.truncate(end_of_last_line(path))
            _sync_folder(path.parent)
        except BaseException:
            self._stream.close()
            raise

    def append(self, content: Mapping[str, Any]) -> None:
        """Add a line; when this returns, it is on disk.

        Raises:
            JournalError: If it cannot be written, as on a full disk; what was written before is
                safe, and half a line is dropped by who goes on.
        """
        try:
            self._stream.write(encode(content))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise JournalError(
                f"{self._path}: cannot be written: {error.strerror}; mend that and run the same "
                "command: nothing that was evaluated before is lost"
            ) from error

    def close(self) -> None:
        """Close the file."""
        with suppress(OSError):  # of a line that could not be written, as was said
            self._stream.close()


def read_lines(path: Path, parse: Callable[[dict[str, Any]], T], skip: int = 0) -> Iterator[T]:
    """What the lines of a file hold, one by one; a torn last line is left out.

    Args:
        path: The file, which may be open for writing elsewhere.
        parse: Makes something of a line's content.
        skip: How many lines to leave out at the start.

    Raises:
        JournalError: If a line is damaged, or `parse` does not take it.
    """
    return read_lines_at(path, lambda content, _: parse(content), skip)


def read_lines_at(
    path: Path, parse: Callable[[dict[str, Any], int], T], skip: int = 0
) -> Iterator[T]:
    """What `read_lines` gives, where `parse` is also told at which byte of the file a line begins.

    Raises:
        JournalError: If a line is damaged, or `parse` does not take it.
    """
    offset = 0
    with path.open("rb") as lines:
        for number, line in enumerate(each_line(lines), start=1):
            start, offset = offset, offset + len(line)
            if number <= skip:
                continue
            if torn(line) and not lines.peek(1):
                return
            content = decode(line, path, number)
            try:
                parsed = parse(content, start)
            except (TypeError, ValueError, GenomeError, JournalError) as error:
                raise JournalError(f"{path}: line {number} is damaged: {error}") from None
            yield parsed


def _sync_folder(folder: Path) -> None:
    """See that the names in a folder, such as that of a new file, are on disk too."""
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
