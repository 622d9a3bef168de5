"""A run over a metric that is better when lower, such as perplexity, shows it in its own unit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main

pytestmark = pytest.mark.costly


def with_perplexity(content: dict[str, Any], **given: Any) -> None:
    perplexity = {"task": "tiny_perplexity", "metric": "word_perplexity,none", **given}
    content["tasks"][1] |= perplexity
    content["evolution"] = {"children": 6, "seed": 3, "early_stop": True}
    for task in content["tasks"]:
        task["samples"] = {"search": "0-11", "holdout": "24-31"}


@pytest.fixture
def quiet(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))


def test_a_run_minimises_what_lm_eval_calls_better_when_lower(
    quiet: None, make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = make_recipe(with_perplexity), tmp_path / "run"
    assert run_main("plan", recipe, "--out", out) == 0
    said = "tasks[1].maximize: false, since word_perplexity,none is better when lower"
    assert said in capsys.readouterr().out
    assert run_main(recipe, "--out", out) == 0
    capsys.readouterr()
    run = RunView.read(out)
    assert run.recipe.minimised == {"green"}
    found = [each.scores["green"] for each in run.candidates if each.scores]
    assert min(found) > 1.0, "perplexities, not their negatives"
    assert run.search.elites("green")[0].scores["green"] == min(found)
    low, high = run.search.archives["red"].ranges[0]
    experts = found[:3]
    assert (low, high) == pytest.approx((0.85 * min(experts), 1.15 * max(experts)))

    summary = (out / "summary.md").read_text()
    assert "| green (search, n=12, lower is better) |" in summary
    assert "| mean" not in summary, "there is no mean of shares and perplexities"
    assert f"{found[0]:.3f}" in summary
    archives = json.loads((out / "archives.json").read_text())["archives"]
    scores = [elite["scores"]["green"] for elite in archives["green"]["elites"]]
    assert scores == sorted(scores)

    assert run_main("pick", out, "--front") == 0
    assert capsys.readouterr().out.count("green (lower is better)") == 2
    assert run_main("report", out) == 0
    page = (out / "report" / "report.html").read_text()
    assert "<h3>green (lower is better)</h3>" in page and "<h3>red</h3>" in page
    assert run_main("eval", out, "--holdout") == 0
    shown = capsys.readouterr().out
    assert "green on holdout samples (n=8, lower is better), word_perplexity,none" in shown
    assert run_main(recipe, "--out", out) == 0, "it goes on"


@pytest.mark.parametrize("early_stop", [False, True])
def test_a_share_can_be_minimised_too(
    quiet: None, early_stop: bool, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    def minimised(content: dict[str, Any]) -> None:
        with_perplexity(content, task="tiny_green", metric="acc,none", maximize=False)
        content["evolution"]["early_stop"] = early_stop

    out = tmp_path / "run"
    assert run_main(make_recipe(minimised), "--out", out) == 0
    run = RunView.read(out)
    scores = [elite.scores["green"] for elite in run.search.elites("green")]
    assert scores == sorted(scores)
    known = [each.scores["green"] for each in run.candidates if each.scores]
    assert scores[0] == min(known)


def test_a_plan_warns_of_a_direction_against_the_tasks_own_word(
    quiet: None, make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def against(content: dict[str, Any]) -> None:
        with_perplexity(content, maximize=True)
        content["tasks"][0]["maximize"] = False

    assert run_main("plan", make_recipe(against), "--out", tmp_path / "run") == 0
    out = capsys.readouterr().out
    for said in (
        "tasks[0].maximize: false, though higher is better of acc,none; leave it out unless the",
        "tasks[1].maximize: true, though lower is better of word_perplexity,none; leave it out",
    ):
        (line,) = [each for each in out.splitlines() if said in each]
        assert line.startswith("│ !"), "a warning"
