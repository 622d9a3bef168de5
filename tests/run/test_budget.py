"""Runs that end before all children are evaluated: by their budget, or by `--time-limit`."""

from __future__ import annotations

from pathlib import Path

import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.workers.worker import Evaluator
from tests.support.recipes import write_run_recipe
from tests.support.runs import derived, main_ok, run_main

ANSWERS = 3 * 24  # of one candidate


def _run(folder: Path, family: Family, *more: str, **evolution: object) -> Path:
    recipe = write_run_recipe(
        folder / "recipe.yaml",
        family,
        lambda content: content["evolution"].update({"lag": 3, **evolution}),
    )
    main_ok([str(recipe), "--out", str(folder / "run"), *more])
    return folder / "run"


def test_a_budget_of_answers_ends_the_search_and_a_larger_one_goes_on(
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    budget = {"answers": 7 * ANSWERS + 1}
    run = _run(tmp_path, family, children=12, budget=budget)
    told = capsys.readouterr().out
    assert "the budget of 505 answers is spent after 5 of 12 children" in told
    assert "raise evolution.budget" in told
    summary = (run / "summary.md").read_text()
    assert "5 of 12 children evaluated. The budget of 505 answers ended the search." in summary
    view = RunView.read(run)
    assert view.finished and view.search.told_count == 8
    main_ok(["report", str(run)])
    assert "ended by its budget" in (run / "report" / "report.html").read_text()

    before = derived(run)
    with monkeypatch.context() as patched:
        patched.setattr(Evaluator, "evaluate", None)
        assert _run(tmp_path, family, children=12, budget=budget) == run
    assert derived(run) == before

    _run(tmp_path, family, children=12)
    (tmp_path / "whole").mkdir()
    whole = _run(tmp_path / "whole", family, children=12)
    assert (run / "archives.json").read_bytes() == (whole / "archives.json").read_bytes()


def test_all_that_was_told_is_in_the_archives_of_a_run_that_its_budget_ended(
    family: Family, tmp_path: Path
) -> None:
    ended = _run(tmp_path, family, children=12, budget={"answers": 8 * ANSWERS})
    (tmp_path / "short").mkdir()
    short = _run(tmp_path / "short", family, children=5)
    assert (ended / "archives.json").read_bytes() == (short / "archives.json").read_bytes()


def test_a_time_limit_ends_the_command_well_and_the_same_command_goes_on(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = _run(tmp_path, family, "--time-limit", "0.001s", children=4)
    told = capsys.readouterr().out
    assert "is reached after 0 of 4 children; the same command goes on" in told
    assert "0 of 4 children evaluated" in (run / "summary.md").read_text()
    _run(tmp_path, family, children=4)
    assert "4 of 4 children evaluated" in (run / "summary.md").read_text()


@pytest.mark.parametrize("text", ["4", "-1h", "0h", "tomorrow", "1h 90"])
def test_a_time_limit_that_is_none_is_one_line(
    text: str, family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_run_recipe(tmp_path / "recipe.yaml", family)
    assert run_main(recipe, f"--time-limit={text}") == 2
    assert "needs a time such as 4h" in capsys.readouterr().err
