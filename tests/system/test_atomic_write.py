"""A file is replaced whole, and no link leads the write elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.system.atomic_write import write_atomically


@pytest.mark.parametrize("name", ["summary.md", ".summary.md.partial"])
def test_a_link_in_its_place_is_replaced_and_not_followed(tmp_path: Path, name: str) -> None:
    precious = tmp_path / "precious"
    precious.write_text("mine")
    run = tmp_path / "run"
    run.mkdir()
    (run / name).symlink_to(precious)
    write_atomically(run / "summary.md", "new")
    assert precious.read_text() == "mine"
    assert (run / "summary.md").read_text() == "new"
    assert [path.name for path in run.iterdir() if path.is_symlink()] == []


def test_what_a_crash_left_is_written_over(tmp_path: Path) -> None:
    (tmp_path / ".a.partial").write_text("half of a longer text")
    write_atomically(tmp_path / "a", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_text() == "new"
