"""Lines of the journal: JSON, with a checksum at the end of each, so that no flipped bit passes."""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mergekit_cycleqd.errors import JournalError

_MARK = b',"crc32":"'


LONGEST = 1 << 26
"""Bytes of a line that is read: of a stranger's file, more would be a flood of memory."""


_TAIL = len(_MARK) + len(b'89abcdef"}\n')


def encode(content: Mapping[str, Any]) -> bytes:
    """A mapping that is not empty as one line."""
    text = json.dumps(content, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    body = text.encode()[:-1]
    return body + _MARK + f'{zlib.crc32(body):08x}"}}\n'.encode()


def decode(line: bytes, path: Path, number: int) -> dict[str, Any]:
    """What `encode` was given.

    Args:
        line: With its end of line.
        path: Of the file, for the message.
        number: Of the line, for the message.

    Raises:
        JournalError: If a bit of it is another.
    """
    body, tail = line[:-_TAIL], line[-_TAIL:]
    if tail[: len(_MARK)] != _MARK:
        raise JournalError(f"{path}: line {number} is damaged: it does not end with its checksum")
    if tail[len(_MARK) :] != f'{zlib.crc32(body):08x}"}}\n'.encode():
        raise JournalError(f"{path}: line {number} is damaged: its checksum is another")
    try:
        content: dict[str, Any] = json.loads(body + b"}")
    except (ValueError, RecursionError) as error:
        raise JournalError(f"{path}: line {number} is damaged: {error}") from None
    return content


def each_line(stream: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file that is open, up to one that is too long, of which a part comes."""
    while line := stream.readline(LONGEST):
        yield line
        if len(line) == LONGEST:
            return


def torn(line: bytes) -> bool:
    """Whether a last line is one that was still being written when the power went.

    It lacks its end, or holds zeros where a block of it never reached the disk.
    """
    return not line.endswith(b"\n") or b"\0" in line


def end_of_last_line(path: Path, block: int = 1 << 16) -> int:
    """Where the last line of a file that is not torn ends, in bytes."""
    with path.open("rb") as stream:
        last = _line_start(stream, stream.seek(0, os.SEEK_END), block) or 0
        start = _line_start(stream, last - 1, block, last - LONGEST)
        if start is None:
            return last  # who reads the line says that it is damaged
        stream.seek(start)
        return start if torn(stream.read(last - start)) else last


def _line_start(stream: IO[bytes], end: int, block: int, least: int = 0) -> int | None:
    """Where the line begins that goes on until `end`; None if that is before `least`."""
    while end > max(0, least):
        start = max(0, end - block)
        stream.seek(start)
        newline = stream.read(end - start).rfind(b"\n")
        if newline >= 0:
            return start + newline + 1
        end = start
    return 0 if end <= 0 else None
