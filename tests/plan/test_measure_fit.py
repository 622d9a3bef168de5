"""The plan of a run with fitted founders: what they cost is measured and told."""

from __future__ import annotations

import re
from typing import Any

import pytest

from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.plan.measure import measure_times
from mergekit_cycleqd.plan.measure_fit import FitTimes, fit_finding
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run.prepare import prepare
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main


def fitted(content: dict[str, Any]) -> None:
    content["evolution"] |= {
        "children": 2,
        "founders": [{"kind": "fit", "over": ["plain", "wudi"], "steps": 7, "batch": 9}],
    }


@pytest.mark.costly
def test_the_plan_has_a_line_for_fits(
    make_recipe: RecipeMaker, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "250")
    assert run_main("plan", make_recipe(fitted)) == 0
    (line,) = [line for line in capsys.readouterr().out.splitlines() if "│ fit " in line]
    assert re.search(r"answers of the experts .*, then 7 steps of .* for plain, wudi; ", line)
    assert "one gradient, at most 8.1 kB" in line, "63 x 32 numbers of the embedding, in float32"


@pytest.mark.slow
def test_the_seconds_of_fits_are_measured_and_part_of_the_forecast(
    make_recipe: RecipeMaker,
) -> None:
    seen = prepare(make_recipe(fitted))
    found = measure_times(seen.recipe, seen.base, seen.experts, seen.harness, prepared=True)
    fit = found.fit
    assert fit is not None and (fit.fits, fit.steps, fit.peak) == (2, 7, None)
    assert fit.answers == pytest.approx(2 * found.evaluation), "half of the samples are fitted"
    assert 0 < fit.step < 5 and fit.end > 0
    none = prepare(make_recipe())
    assert (
        measure_times(none.recipe, none.base, none.experts, none.harness, prepared=True).fit is None
    )


@pytest.mark.parametrize(("experts", "tasks"), [(2, 3), (3, 2)])
def test_the_experts_that_have_a_task_are_asked(
    make_recipe: RecipeMaker, monkeypatch: pytest.MonkeyPatch, experts: int, tasks: int
) -> None:
    asked: list[str] = []
    ask = LMHarness.own_answers

    def asking(harness: LMHarness, model: Any, task: str, *, fitted: bool) -> Any:
        asked.append(task)
        return ask(harness, model, task, fitted=fitted)

    monkeypatch.setattr(LMHarness, "own_answers", asking)

    def cut(content: dict[str, Any]) -> None:
        fitted(content)
        content["experts"], content["tasks"] = (
            content["experts"][:experts],
            content["tasks"][:tasks],
        )
        known = {task["name"] for task in content["tasks"]}
        for expert in content["experts"]:
            if expert["task"] not in known:
                del expert["task"]

    assert run_main("plan", make_recipe(cut)) == 0
    assert asked == ["red", "green"]


def test_fits_share_the_answers(make_named_recipe: RecipeMaker) -> None:
    times = FitTimes(answers=10, step=2, end=3, fits=2, steps=5, peak=3 * 10**9)
    assert times.seconds == 10 + 2 * (5 * 2 + 3)
    text = fit_finding(load_recipe(make_named_recipe(fitted)), times, 10**6).text
    assert text == (
        "36.0 s: answers of the experts 10.0 s, then 5 steps of 2.0 s for plain, wudi; beside the "
        "models about 3.0 GB of device memory"
    )
