"""Samples that are answered several times: means over repeats, and pass@k."""

from __future__ import annotations

import itertools
import math
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.evaluators.repeats import check_passes, combined_samples, pass_at
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.tasks import Task
from tests.support.lm_eval_tasks import task
from tests.support.recipes import TASKS, RecipeMaker
from tests.support.runs import run_main

METRIC = "exact_match,digit"
DIGIT = """\
task: digit
custom_dataset: !function docs.red
test_split: test
output_type: generate_until
doc_to_text: prompt
doc_to_target: "3"
generation_kwargs: {until: ["\\n"], do_sample: true, temperature: 1.0, max_gen_toks: 4}
filter_list:
- name: digit
  filter: [{function: regex, regex_pattern: "w[0-9]*([0-9])"}, {function: take_first}]
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
"""One answer of ten has a first word that ends in 3."""


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(0, 6))
def test_pass_at_k_is_the_share_of_choices_of_k_answers_with_one_that_passes(
    answers: list[bool], place: int
) -> None:
    k = 1 + place % len(answers)
    choices = list(itertools.combinations(answers, k))
    found = pass_at(k, [np.array([float(answer)]) for answer in answers])
    assert found == pytest.approx(sum(map(any, choices)) / len(choices))


def test_pass_at_k_is_the_mean_over_samples() -> None:
    assert pass_at(1, [np.array([1.0, 0.0]), np.array([0.0, 0.0])]) == 0.25


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("digits")
    shutil.copy(TASKS / "docs.py", made)
    (made / "digit.yaml").write_text(DIGIT)
    return made


def digit(folder: Path, **settings: Any) -> Task:
    about = {"task": "digit", "include_path": str(folder), "samples": {"search": "0-29"}}
    return task("digit", METRIC, **about, **settings)


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    base = Checkpoint.open(family.base_model)
    return HFEngine(Engine(device="cpu", dtype="float32"), base, [])


def test_a_score_is_the_mean_of_the_repeats(engine: HFEngine, folder: Path) -> None:
    harness = LMHarness([digit(folder, repeats=3), task("red", "acc,none")])
    scores = harness.evaluate(engine.model, "search")
    alone = LMHarness([digit(folder)])
    each = [alone.evaluate(engine.model, "search", repeat=i)["digit"] for i in range(3)]
    assert len(set(each)) > 1, "or this shows nothing"
    assert scores["digit"] == pytest.approx(fmean(each))
    assert harness.evaluate(engine.model, "search") == scores, "the same answers again"
    assert harness.evaluate(engine.model, "search", repeat=1)["digit"] != scores["digit"]


def test_pass_at_k_counts_samples_of_which_an_answer_passes(engine: HFEngine, folder: Path) -> None:
    one, two, four = (
        LMHarness([digit(folder, repeats=4, pass_at=k)]).evaluate(engine.model, "search")["digit"]
        for k in (1, 2, 4)
    )
    mean = LMHarness([digit(folder, repeats=4)]).evaluate(engine.model, "search")["digit"]
    assert one == pytest.approx(mean)
    assert 0 < one < two < four and math.isclose(four * 30, round(four * 30))


def test_repeats_of_the_same_answer_are_refused() -> None:
    with pytest.raises(RecipeError) as error:
        LMHarness([task("generate", "exact_match,whole", repeats=3)])
    (line,) = error.value.faults
    assert line.startswith("tasks[0].repeats: 3 answers of 'tiny_generate' are all the same; let")
    with pytest.raises(RecipeError, match="compares likelihoods and generates no text; leave rep"):
        LMHarness([task("red", "acc,none", repeats=3)])


def test_pass_at_k_needs_as_many_answers() -> None:
    with pytest.raises(ValidationError, match="pass_at: 4 answers need repeats of as many or more"):
        task("generate", METRIC, repeats=3, pass_at=4)


def test_pass_at_k_needs_answers_that_pass_or_fail() -> None:
    asked = task("generate", METRIC, repeats=2, pass_at=2)
    with pytest.raises(CycleQDError, match=r"0 or 1 for each answer, got 0\.5 as .* of sample 3"):
        check_passes(asked, [2, 3], np.array([np.nan, 0.5]))
    with pytest.raises(CycleQDError, match=r"got no number as .* of sample 2"):
        check_passes(asked, [2, 3], None)
    check_passes(asked, [2, 3], np.array([0.0, 1.0]))


def test_a_sample_scores_the_mean_of_its_answers_or_how_often_one_of_k_passes() -> None:
    repeats = [np.array([1.0, 0.0, np.nan]), np.array([0.0, 0.0, np.nan])]
    mean = combined_samples(task("generate", METRIC, repeats=2), repeats)
    passed = combined_samples(task("generate", METRIC, repeats=2, pass_at=2), repeats)
    assert mean is not None and passed is not None
    assert mean[:2].tolist() == [0.5, 0.0] and np.isnan(mean[2])
    assert passed[:2].tolist() == [1.0, 0.0] and np.isnan(passed[2])
    assert pass_at(2, repeats) == 0.5, "of the samples that have a score"
    assert combined_samples(task("generate", METRIC, repeats=2), [repeats[0], None]) is None


@pytest.mark.costly
def test_a_run_keeps_and_shows_repeats(
    make_recipe: RecipeMaker,
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))

    def repeated(content: dict[str, Any]) -> None:
        settings = {"metric": METRIC, "include_path": str(folder), "repeats": 3, "pass_at": 2}
        content["tasks"][1] |= {"task": "digit", **settings}
        content["evolution"] = {"children": 2, "early_stop": True}
        for each in content["tasks"]:
            each["samples"] = {"search": "0-9", "holdout": "10-14"}

    out = tmp_path / "run"
    assert run_main(make_recipe(repeated), "--out", out) == 0
    assert run_main("eval", out, "--holdout") == 0
    assert "pass@2 of exact_match,digit" in capsys.readouterr().out
    assert '"repeats":3' in (out / "journal.jsonl").read_text().replace(" ", "")
