"""The report's parts on the model to take beside experts, sample by sample."""

from __future__ import annotations

import html
from pathlib import Path

import pytest

from mergekit_cycleqd.report.answers import lost_answers
from mergekit_cycleqd.report.result import result
from mergekit_cycleqd.run_folder.run_view import RunView
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
