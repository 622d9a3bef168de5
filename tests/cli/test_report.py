"""What the command `report` prints: the page, last, and what lies beside it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import published_runs
from tests.support.runs import run_main

made, local_run = published_runs.made, published_runs.local_run


def test_the_page_is_the_last_of_a_few_lines(
    local_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("report", local_run) == 0
    figures, tables, page = capsys.readouterr().out.splitlines()
    assert page == f"page, for any browser: {local_run / 'report' / 'report.html'}"
    assert figures.startswith("figures, each as .png and .svg: overview, archive-red, ")
    assert "similarity" not in figures.partition(", time")[0], "it is the page's last chapter"
    assert tables.startswith("tables, each as .csv and .parquet: comparison, elites, ")
    beside = {file.stem for file in (local_run / "report").iterdir()} - {"report"}
    named = {name for line in (figures, tables) for name in line.partition(": ")[2].split(", ")}
    assert named == beside
