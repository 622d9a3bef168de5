"""`eval MODEL --recipe`: a model gets the scores that a run of the recipe would give it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.open import open_harness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.load import load_recipe
from tests.support.recipes import RecipeMaker, use_function
from tests.support.runs import run_main

# lm-eval leaves files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


def shown(out: str) -> dict[str, float]:
    rows = re.findall(r"^\| (\w+) \| .* \| (-?[\d.]+) \|$", out, re.MULTILINE)
    return {name: float(score) for name, score in rows}


@pytest.mark.parametrize("split", ["search", "holdout"])
def test_a_folder_and_a_model_recipe_score_as_in_a_run(
    split: Any,
    make_recipe: RecipeMaker,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["tasks"][0]["num_fewshot"] = 2
        use_function(content)

    (tmp_path / "mine.py").write_text(
        "def norm(model, samples):\n"
        "    return {'norm': float(model.model.lm_head.weight.detach().norm()) + sum(samples)}\n"
    )
    recipe = make_recipe(change)
    elite = tmp_path / "elite.yaml"
    genome = Genome(family, (0.2, 0.5, 0.1))
    elite.write_text(genome.to_yaml())
    chosen = ["--holdout"] if split == "holdout" else []
    loaded = load_recipe(recipe)
    experts = [Checkpoint.open(model) for model in family.experts]
    engine = HFEngine(loaded.engine, Checkpoint.open(family.base_model), experts)
    for model, of in ((family.experts[1], Genome.from_expert(family, 1)), (elite, genome)):
        engine.load(of)
        expected = open_harness(loaded).evaluate(engine.model, split)
        assert run_main("eval", model, "--recipe", recipe, *chosen) == 0
        found = shown(capsys.readouterr().out)
        assert found == {name: pytest.approx(score, abs=1e-4) for name, score in expected.items()}
        assert list(found) == ["red", "green", "blue"]


def test_the_table_names_the_metric_that_is_shown(
    make_recipe: RecipeMaker, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["tasks"][0] |= {"task": "tiny_perplexity", "metric": "word_perplexity,none"}
        sampled = {"gen_kwargs": {"do_sample": True}, "repeats": 2, "pass_at": 2}
        content["tasks"][1] |= {"task": "tiny_generate", "metric": "exact_match,whole"} | sampled
        content["tasks"][2] |= {"maximize": False}

    assert run_main("eval", family.base_model, "--recipe", make_recipe(change)) == 0
    shown = capsys.readouterr()
    assert "| red | tiny_perplexity | word_perplexity,none, lower is better | 24 |" in shown.out
    assert "| green | tiny_generate | pass@2 of exact_match,whole | 24 |" in shown.out
    assert "warning: tasks[2].maximize: false, though higher is better of acc,none" in shown.err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-fewshot", "2"], "--num-fewshot: is for a model without --recipe; change"),
        (["--tasks", "red"], "--tasks: is for a model without"),
        (["--device", "tpu"], "engine.device"),
    ],
)
def test_what_does_not_go_with_a_recipe_is_one_line(
    options: list[str],
    message: str,
    make_recipe: RecipeMaker,
    family: Family,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main("eval", family.base_model, "--recipe", make_recipe(), *options) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("error: ") and message in line


def test_a_recipe_without_holdout_samples_and_a_run_are_refused(
    make_recipe: RecipeMaker,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = make_recipe(lambda c: [task["samples"].pop("holdout") for task in c["tasks"]])
    assert run_main("eval", family.base_model, "--recipe", recipe, "--holdout") == 2
    assert "--holdout: no task of it has samples.holdout" in capsys.readouterr().err
    (tmp_path / "journal.jsonl").write_text("")
    assert run_main("eval", tmp_path, "--recipe", recipe) == 2
    assert "--recipe: is for a model; " in capsys.readouterr().err


def test_two_models_are_compared_sample_by_sample(
    make_recipe: RecipeMaker, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = family.experts[0], family.experts[1]
    assert run_main("eval", first, "--recipe", make_recipe(), "--against", second) == 0
    out = capsys.readouterr().out
    rows = [line.split(" | ") for line in out.splitlines() if line.startswith("| red ")]
    (row,) = rows
    assert row[4] != row[5], "or this shows nothing"
    assert re.fullmatch(r"[+-]0\.\d{3} \[[+-]0\.\d{3}, [+-]0\.\d{3}\]", row[6])
    assert float(row[4]) - float(row[5]) == pytest.approx(float(row[6].split()[0]), abs=1e-3)
    won, lost = int(row[8]), int(row[9].rstrip(" |"))
    assert (won - lost) / 24 == pytest.approx(float(row[6].split()[0]), abs=1e-3)
    assert "On the mean over tasks the first model is " in out and "McNemar" in out


def test_models_of_equal_means_are_level(
    make_recipe: RecipeMaker, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    model = family.experts[0]
    assert run_main("eval", model, "--recipe", make_recipe(), "--against", model) == 0
    out = capsys.readouterr().out
    assert "On the mean over tasks the first model is level with the other. " in out
    assert "better" not in out and "worse" not in out


def test_what_is_scored_by_one_number_is_not_compared(
    make_recipe: RecipeMaker, family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "mine.py").write_text("def norm(model, samples):\n    return {'norm': 0.5}\n")
    recipe = make_recipe(use_function)
    both = family.experts[0], "--against", family.base_model
    assert run_main("eval", both[0], "--recipe", recipe, *both[1:]) == 0
    out = capsys.readouterr().out
    assert "| 0.5000 | 0.5000 | – | – | – | – |" in out
    assert "Not compared sample by sample: green. The evaluator tells no scores" in out


def test_two_models_need_a_recipe(family: Family, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_main("eval", family.base_model, "--tasks", "x", "--against", "other") == 2
    assert "--against: needs --recipe, on whose tasks" in capsys.readouterr().err
