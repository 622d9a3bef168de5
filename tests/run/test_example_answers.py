"""The answers that a run keeps: real ones, with the scores that the run itself gave them."""

from __future__ import annotations

import html
import json
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from mergekit_cycleqd.report import write_report
from mergekit_cycleqd.report.answers import answers, lost_answers
from mergekit_cycleqd.run_folder.choice import model_to_take
from mergekit_cycleqd.run_folder.example_answers import FILE, LOST, TAKEN, ExampleAnswers
from mergekit_cycleqd.run_folder.paired_models import PairedScores
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.workers.worker import Evaluator
from tests.support.recipes import RecipeMaker
from tests.support.report_pages import Page
from tests.support.runs import run_main

SHOWN = {"search": "0-23", "holdout": "30-32"}


def three_held_out(content: dict[str, Any]) -> None:
    content["evolution"]["children"] = 3
    for task in content["tasks"]:
        task["samples"] = dict(SHOWN)
    content["tasks"][1] |= {"task": "tiny_generate", "metric": "exact_match,whole"}


@pytest.fixture
def run(make_recipe: RecipeMaker, tmp_path: Path) -> RunView:
    assert run_main(make_recipe(three_held_out), "--out", tmp_path / "run") == 0
    return RunView.read(tmp_path / "run")


def test_answers_of_base_experts_and_the_model_to_take_are_kept_with_their_scores(
    run: RunView, monkeypatch: pytest.MonkeyPatch, make_recipe: RecipeMaker
) -> None:
    kept = ExampleAnswers.read(run.folder)
    assert kept is not None
    names = ["base", "expert: red", "expert: green", "expert: blue", TAKEN]
    assert list(kept.models)[:5] == names
    wanted = {run.search.best_all_round().genome.id, run.search.aggregate().id}
    assert wanted <= set(kept.models.values())
    taken = model_to_take(run.search, run.scores)
    assert kept.models[TAKEN] == taken.genome.id
    for name, answered in kept.answers.items():
        held = run.found[kept.models[name], "holdout"]
        for task in run.search.tasks:
            own = [answer for answer in answered if answer.task == task]
            assert [answer.sample for answer in own] == [30, 31, 32]
            assert all(answer.split == "holdout" and answer.question for answer in own)
            assert fmean(answer.score or 0.0 for answer in own) == pytest.approx(held[task])
            for answer in own:
                assert (answer.score == 1.0) == (answer.said == answer.target)
    assert kept.of_genome(taken.genome) == kept.answers[TAKEN]

    def never(*_: object) -> None:
        raise AssertionError("they are there already")

    monkeypatch.setattr(Evaluator, "answers", never)
    before = (run.folder / FILE).read_bytes()
    assert run_main(make_recipe(three_held_out), "--out", run.folder) == 0
    assert (run.folder / FILE).read_bytes() == before


def test_the_report_shows_them_side_by_side(run: RunView) -> None:
    page = html.unescape(Page(write_report(run.folder, None, ["html"])[0]).text)
    kept = ExampleAnswers.read(run.folder)
    assert kept is not None and "Answers to green" in page and "holdout sample 31" in page
    for name, answered in kept.answers.items():
        assert f">{name}</th>" in page
        assert all(answer.said.strip() in page for answer in answered)
    (run.folder / FILE).unlink()
    assert answers(run) == ""


def test_answers_to_lost_questions_are_kept_of_both_models(run: RunView) -> None:
    kept = ExampleAnswers.read(run.folder)
    taken = model_to_take(run.search, run.scores).genome
    losses = PairedScores(run.search, run.scores, run.samples).beside_experts(taken)
    expected = {each.task: sorted(each.lost[:LOST]) for each in losses if each.lost}
    assert kept is not None and expected, "or this shows nothing"
    assert {each.task: [a.sample for a, _ in each.pairs] for each in kept.lost} == expected
    for each in kept.lost:
        for ours, theirs in each.pairs:
            assert ours.question == theirs.question and (ours.score or 0) < (theirs.score or 0)
    page = html.unescape(lost_answers(run))
    for each in kept.lost:
        assert f"Lost questions of {each.task}" in page
        assert all(ours.said.strip() in page for ours, _ in each.pairs)


TEXTS = {"task": "red", "split": "search", "question": "", "target": "", "said": ""}
ANSWER = TEXTS | {"sample": 0, "score": 1}
LOSS = {"task": "red", "expert": "red"}


@pytest.mark.parametrize(
    "spoilt",
    [
        *("{", "[]", '{"version": 2}', '{"version": 1}', "null"),
        *(
            json.dumps({"version": 1, "models": {}, "answers": {"base": [ANSWER | one]}})
            for one in ({"said": 5}, {"sample": "x"}, {"score": []}, {"more": 1}, {"split": None})
        ),
        *(
            json.dumps({"version": 1, "models": {}, "answers": {}, "lost": lost})
            for lost in (5, [5], [{"task": "red"}], [LOSS | {"pairs": [[ANSWER]]}])
        ),
    ],
)
def test_a_file_that_cannot_be_read_is_none(spoilt: str, tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(spoilt)
    assert ExampleAnswers.read(tmp_path) is None


def test_what_breaks_an_answer_does_not_break_the_run(
    make_recipe: RecipeMaker,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def broken(*_: object) -> None:
        raise ValueError("no such thing")

    monkeypatch.setattr(Evaluator, "answers", broken)
    assert run_main(make_recipe(three_held_out), "--out", tmp_path / "run") == 0
    said = capsys.readouterr().out
    assert "no example answers for the report: ValueError: no such thing" in said
    assert not (tmp_path / "run" / FILE).exists()
