"""A whole run over models that see images: searched, merged and scored, on texts and images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.models.hf_vlms import HFMultimodalLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.genome.family import Family
from tests.support.image_models import save_image_family, with_adapter
from tests.support.plans import plan
from tests.support.recipes import TASKS, write_run_recipe
from tests.support.runs import run_main

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of peft
    # lm-eval leaves files to the garbage collector
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
NAMES = ("tiny_red", "tiny_pictures")


@pytest.fixture(scope="module")
def pictured(tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp("pictured")
    return with_adapter(save_image_family("LLaVA", folder, "a", "b"), folder / "adapter")


def of_pictures(content: dict[str, Any]) -> None:
    content["evolution"].update(children=2, early_stop=True)
    content["tasks"][1].update(task="tiny_pictures")
    for task in content["tasks"]:
        task["samples"] = {"search": "0-3", "holdout": "4-5"}


def test_a_run_scores_and_merges_models_that_see_images(
    pictured: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = write_run_recipe(tmp_path / "recipe.yaml", pictured, of_pictures)
    run, merged = tmp_path / "run", tmp_path / "merged"
    found = plan(recipe, capsys, monkeypatch)
    assert found.code == 0 and found["child"][0][0] == "✓"
    assert found.only("class")[1].endswith(": answers texts, and sees images")
    assert run_main("run", recipe, "--out", run) == 0
    assert run_main("report", run) == 0
    assert run_main("merge", run / "aggregate.yaml", merged, "--quiet") == 0
    scores = []
    for model in (run / "aggregate.yaml", merged):
        out = tmp_path / "scores.json"
        options = ("--include-path", TASKS, "--device", "cpu", "--out", out, "--samples", "0-9")
        assert run_main("eval", model, "--tasks", ",".join(NAMES), *options) == 0
        results = json.loads(out.read_text())["results"]
        scores.append({name: results[name]["acc,none"] for name in NAMES})
    assert scores[0] == scores[1]
    plain = lm_eval.simple_evaluate(
        model=HFMultimodalLM(pretrained=str(merged), device="cpu", batch_size=8),
        tasks=list(NAMES),
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        samples={name: list(range(10)) for name in NAMES},
        bootstrap_iters=0,
    )["results"]
    assert {name: plain[name]["acc,none"] for name in NAMES} == pytest.approx(scores[1], abs=1e-9)
    assert 0 < scores[1]["tiny_pictures"] < 1
