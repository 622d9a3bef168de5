"""The report's parts on the model to take beside experts, sample by sample."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.report.answers import lost_answers
from mergekit_cycleqd.report.result import result
from mergekit_cycleqd.report.teams import teams
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.team import LONGEST, team
from tests.support.sampled_runs import write_sampled_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return write_sampled_run(tmp_path_factory.mktemp("sampled"))


def test_the_result_has_the_differences_and_how_they_are_made(run: RunView) -> None:
    page = html.unescape(result(run))
    assert "best.yaml beside the best expert of each task, sample by sample" in page
    assert "On the same holdout samples it is " in page and "McNemar's exact test" in page


def test_lost_samples_are_listed_without_answers_where_none_were_kept(run: RunView) -> None:
    page = html.unescape(lost_answers(run))
    assert "Holdout samples that the expert answers better" in page
    assert "Answers are kept by runs with one worker, of tasks of text." in page


def test_a_run_without_scores_of_samples_has_neither(tmp_path: Path) -> None:
    bare = write_sampled_run(tmp_path, kept=False)
    assert lost_answers(bare) == "" and "sample by sample" not in result(bare)


def test_teams_have_a_curve_and_a_table(run: RunView) -> None:
    figures: dict[str, Any] = {}
    page = html.unescape(teams(run, figures))
    found = team(run.search, run.scores, run.samples, LONGEST)
    (curve, alone) = figures["teams-curve"]["data"]
    assert curve["y"] == [round(member.coverage, 6) for member in found.members]
    assert set(alone["y"]) == {curve["y"][0]} and len(curve["x"]) == len(found.members)
    for member in found.members:
        assert member.choice.recipe in page
    assert "Not scored on holdout samples: candidate" in page and "all experts together" in page


def test_a_run_without_scores_of_samples_has_no_teams(tmp_path: Path) -> None:
    assert teams(write_sampled_run(tmp_path / "bare", kept=False), {}) == ""
    none = write_sampled_run(tmp_path / "none", told=())
    assert "so no team can be chosen" in teams(none, {})
