"""Rooms that one can look over: few files in a folder, few lines in a file."""

from __future__ import annotations

from pathlib import Path
from statistics import median

PACKAGE = Path(__file__).parents[2] / "mergekit_cycleqd"
MOST_FILES = 16
MOST_LINES = 300
USUAL_LINES = 150


def lengths() -> dict[Path, int]:
    return {path: path.read_text().count("\n") for path in PACKAGE.rglob("*.py")}


def test_no_file_is_longer_than_one_reads_at_a_sitting() -> None:
    found = lengths()
    assert {path: lines for path, lines in found.items() if lines > MOST_LINES} == {}
    written = [lines for path, lines in found.items() if path.name != "__init__.py"]
    assert median(written) <= USUAL_LINES


def test_a_folder_with_many_files_says_why() -> None:
    for folder in {path.parent for path in lengths()}:
        files = [path for path in folder.glob("*.py") if path.name != "__init__.py"]
        if len(files) > MOST_FILES:
            reason = (folder / "__init__.py").read_text()
            assert f"{len(files)} files" in reason, f"{folder}: {len(files)} files, and no reason"
