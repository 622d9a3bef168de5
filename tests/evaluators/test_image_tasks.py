"""Tasks that show images are refused in one line where a base or an engine has no use for them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.image_models import save_image_family
from tests.support.lm_eval_tasks import task
from tests.support.plans import plan
from tests.support.recipes import TASKS, write_run_recipe
from tests.support.runs import run_main

pytestmark = pytest.mark.costly

HF = Engine(device="cpu")
SHOWN = {"task": "tiny_pictures", "samples": {"search": "0-7"}}
CHOSEN = {"task": "tiny_picture_choices", "samples": {"search": "0-7"}}


@pytest.fixture(scope="module")
def seeing(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("seeing")
    return Checkpoint.open(save_image_family("Gemma 3", folder, "a").base_model)


def fault(settings: dict[str, Any], engine: Engine, base: Checkpoint) -> str:
    harness = LMHarness([task("pictures", "acc,none", **settings)])
    return harness.base_fault("pictures", engine, base)


def test_a_base_that_sees_images_is_shown_some(seeing: Checkpoint, family: Family) -> None:
    assert fault(SHOWN, HF, seeing) == ""
    blind = Checkpoint.open(family.base_model)
    assert fault(SHOWN, HF, blind) == (
        "shows images, and LlamaForCausalLM sees none; take a base of a class that is known to "
        "transformers' AutoModelForImageTextToText"
    )
    words = task("red", "acc,none")
    assert LMHarness([words]).base_fault("red", HF, blind) == ""


def test_images_with_given_answers_and_other_engines_are_refused(seeing: Checkpoint) -> None:
    assert fault(CHOSEN, HF, seeing) == (
        "shows images and scores given answers, which lm-eval does for no model; take a task of "
        "output_type generate_until"
    )
    assert fault(SHOWN, Engine(kind="vllm"), seeing) == (
        "shows images, which engine.kind: vllm does not; take hf"
    )


def test_a_missing_processor_is_told_before_weights_are_read(
    seeing: Checkpoint, tmp_path: Path
) -> None:
    for file in seeing.folder.glob("*"):
        if "processor" not in file.name:
            (tmp_path / file.name).symlink_to(file)
    said = fault(SHOWN, HF, Checkpoint.open(str(tmp_path)))
    assert said.startswith(f"shows images: {tmp_path}: tasks with images need ")
    assert len(said.splitlines()) == 1


def test_plan_a_run_and_eval_say_so_with_the_key(
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = write_run_recipe(
        tmp_path / "r.yaml",
        family,
        lambda content: content["tasks"][1].update(SHOWN, include_path=str(TASKS)),
    )
    mark, text = plan(recipe, capsys, monkeypatch).only("tasks")
    assert mark == "✗"
    assert text.startswith("tasks[1].task: 'tiny_pictures' shows images, and LlamaForCausalLM sees")
    assert run_main("run", recipe, "--out", tmp_path / "run") == 2
    assert f"{recipe}: {text}" in capsys.readouterr().err
    options = ("--include-path", TASKS, "--device", "cpu")
    assert run_main("eval", family.base_model, "--tasks", "tiny_pictures", *options) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last.startswith("error: --tasks: 'tiny_pictures' shows images, and LlamaForCausalLM")
