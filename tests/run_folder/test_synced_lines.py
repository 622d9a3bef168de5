"""Lines that are on disk when `append` returns, and what is left of them after a crash."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.run_folder import journal_lines, synced_lines
from mergekit_cycleqd.run_folder.synced_lines import SyncedLines, read_lines

CONTENTS = [{"number": number, "text": "ü" * number} for number in range(4)]


def written(path: Path, contents: list[dict[str, Any]]) -> bytes:
    lines = SyncedLines(path)
    for content in contents:
        lines.append(content)
    lines.close()
    return path.read_bytes()


def without_checksum(content: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != "crc32"}


def test_a_file_cut_anywhere_goes_on_with_its_whole_lines(tmp_path: Path) -> None:
    whole = written(tmp_path / "whole", CONTENTS)
    path = tmp_path / "cut"
    for cut in range(len(whole)):
        path.write_bytes(whole[:cut])
        kept = whole[:cut].count(b"\n")
        assert list(read_lines(path, without_checksum)) == CONTENTS[:kept]
        assert path.read_bytes() == whole[:cut], "reading leaves the file alone"
        assert written(path, CONTENTS[kept:]) == whole


def test_zeros_that_never_reached_the_disk_are_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    whole = written(path, CONTENTS[:2])
    last = whole.rindex(b"\n", 0, -1) + 1
    path.write_bytes(whole[: last + 5] + bytes(len(whole) - last - 6) + b"\n")
    assert list(read_lines(path, without_checksum)) == CONTENTS[:1]
    assert written(path, CONTENTS[1:2]) == whole


def test_a_line_that_is_not_taken_is_named_and_counted_from_the_start(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    written(path, CONTENTS)

    def odd(content: dict[str, Any]) -> int:
        if content["number"] == 2:
            raise ValueError("it is even")
        return int(content["number"])

    found = read_lines(path, odd, skip=1)
    assert next(found) == 1
    with pytest.raises(JournalError, match=r"lines: line 3 is damaged: it is even$"):
        next(found)


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_disk_that_is_full_is_said_and_costs_no_earlier_line(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    whole = written(path, CONTENTS[:2])
    lines = SyncedLines(path)
    with files_of_at_most(len(whole) + 9):
        with pytest.raises(JournalError, match=r"lines: cannot be written: File too large; mend"):
            lines.append(CONTENTS[2])
        lines.close()
    assert list(read_lines(path, without_checksum)) == CONTENTS[:2]
    assert written(path, CONTENTS[2:]).startswith(whole)
    assert list(read_lines(path, without_checksum)) == CONTENTS


@pytest.mark.skipif(os.name != "posix", reason="folders are synced there alone")
def test_lines_and_the_name_of_the_file_are_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync, synced = os.fsync, []

    def seen(handle: int) -> None:
        sync(handle)
        synced.append(os.readlink(f"/proc/self/fd/{handle}"))

    monkeypatch.setattr(os, "fsync", seen)
    written(tmp_path / "lines", CONTENTS[:2])
    assert synced == [str(tmp_path), *[str(tmp_path / "lines")] * 2]


def test_a_line_without_end_is_damaged_and_not_read_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "lines"
    whole = written(path, CONTENTS)
    monkeypatch.setattr(journal_lines, "LONGEST", 1 << 10)
    monkeypatch.setattr(synced_lines, "each_line", journal_lines.each_line)
    path.write_bytes(whole + b"x" * (1 << 20) + b"\n")
    lines = read_lines(path, without_checksum)
    assert [next(lines) for _ in CONTENTS] == CONTENTS
    with pytest.raises(JournalError, match="line 5 is damaged: it does not end with its checksum"):
        next(lines)
    assert journal_lines.end_of_last_line(path) == path.stat().st_size, "nothing is cut off"
    assert [len(line) for line in each(path)][-1] == 1 << 10


def each(path: Path) -> Iterator[bytes]:
    with path.open("rb") as stream:
        yield from journal_lines.each_line(stream)
