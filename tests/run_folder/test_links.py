"""Symbolic links in a stranger's run folder lead no command out of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_header
from mergekit_cycleqd.run_folder.links import refuse_links
from mergekit_cycleqd.run_folder.retention import RetentionFile
from tests.support.scored_runs import write_run


@pytest.fixture
def run(tmp_path: Path) -> Path:
    write_run(tmp_path / "run", children=4)
    (tmp_path / "home").mkdir()
    return tmp_path / "run"


@pytest.mark.parametrize(
    "name",
    [
        *("elites", "elites/coding", FILE, "retention.jsonl", "summary.md"),
        *(".publish", ".publish/0123456789abcdef", ".publish/0123456789abcdef.yaml"),
    ],
)
def test_a_run_is_not_gone_on_with_over_a_link(run: Path, name: str) -> None:
    header = read_header(run)
    path = run / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(run.parent / "home")
    for begin in (lambda: Journal.open(run, header), lambda: RetentionFile(run)):
        with pytest.raises(JournalError, match=r"is a symbolic link to .*home.*remove the link"):
            begin()
    assert list((run.parent / "home").iterdir()) == []


def test_a_report_stays_in_its_run(run: Path) -> None:
    (run / "report").symlink_to(run.parent / "home")
    with pytest.raises(JournalError, match="is a symbolic link"):
        write_report(run, formats=["csv"])
    (run / "report").unlink()
    (run / "report").mkdir()
    precious = run.parent / "precious"
    precious.write_text("mine")
    for name in ("curves.png", "overview.svg", "time.csv", "time.parquet"):
        (run / "report" / name).symlink_to(precious)
    write_report(run, formats=["png", "svg", "csv", "parquet"])
    assert precious.read_text() == "mine"
    assert not any(path.is_symlink() for path in (run / "report").iterdir())


def test_a_run_in_a_cache_of_the_hub_can_be_reported_on(run: Path) -> None:
    """There, files are links to those that hold the content."""
    (run / FILE).rename(run.parent / "blob")
    (run / FILE).symlink_to(run.parent / "blob")
    assert write_report(run, formats=["csv"])


def test_a_run_folder_may_itself_be_a_link(run: Path) -> None:
    (run.parent / "linked").symlink_to(run)
    refuse_links(run.parent / "linked")
