"""Prompts are rendered by the chat template that a task names."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.run.prepare import prepare
from mergekit_cycleqd.run_folder.journal_lines import decode, encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_recipe
from tests.support.costly import costly
from tests.support.families import CHAT_TEMPLATE, make_chatty_family
from tests.support.lm_eval_tasks import plain_lm_eval, task
from tests.support.plans import plan
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

OTHER = CHAT_TEMPLATE.replace("w59", "w58").replace("w{{", "w7 w{{")
LOSS = "loss,none"
KNOWN = "the base's tokenizer has no chat template 'rga'; did you mean 'rag'?"


@pytest.fixture(scope="module")
@costly
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Family:
    """A family whose base has two templates, `default` and `rag`."""
    family = make_chatty_family(tmp_path_factory.mktemp("chatty"))
    for model in (family.base_model, *family.experts):
        folder = Path(model, "additional_chat_templates")
        folder.mkdir()
        (folder / "rag.jinja").write_text(OTHER)
    return family


def engine_of(model: str | Path) -> HFEngine:
    return HFEngine(Engine(device="cpu", dtype="float32"), Checkpoint.open(str(model)), [])


def score(engine: HFEngine, template: bool | str) -> float:
    told = task("red", LOSS, task="tiny_told_2", apply_chat_template=template)
    return LMHarness([told]).evaluate(engine.model, "search")["red"]


def test_a_named_template_renders_as_if_it_were_the_models_only_one(
    chatty: Family, tmp_path: Path
) -> None:
    alone = Path(shutil.copytree(chatty.base_model, tmp_path / "alone"))
    shutil.rmtree(alone / "additional_chat_templates")
    (alone / "chat_template.jinja").write_text(OTHER)
    metric, ids = {"tiny_told_2": LOSS}, list(range(3, 21))
    by_default, by_other = (
        plain_lm_eval(str(model), metric, ids, apply_chat_template=True)["tiny_told_2"]
        for model in (chatty.base_model, alone)
    )
    assert abs(by_default - by_other) > 1e-3, "or this shows nothing"
    engine = engine_of(chatty.base_model)
    held = engine.model.tokenizer.chat_template
    assert score(engine, True) == pytest.approx(by_default, abs=1e-6)
    assert score(engine, "default") == pytest.approx(by_default, abs=1e-6)
    assert score(engine, "rag") == pytest.approx(by_other, abs=1e-6)
    assert engine.model.tokenizer.chat_template is held
    assert score(engine_of(alone), "default") == pytest.approx(by_other, abs=1e-6)


def test_an_unknown_name_is_refused_with_the_known_ones(chatty: Family, family: Family) -> None:
    with pytest.raises(CycleQDError) as error:
        score(engine_of(chatty.base_model), "rga")
    assert str(error.value) == f"task 'red': apply_chat_template: {KNOWN}"
    with pytest.raises(CycleQDError, match="has no chat template 'default'; it has none"):
        score(engine_of(family.base_model), "default")


def recipe(folder: Path, family: Family, template: bool | str) -> Path:
    def change(content: dict[str, Any]) -> None:
        content["evolution"].update(children=1, mutation={"kind": "none"})
        content["tasks"][1].update(task="tiny_told_2", apply_chat_template=template)

    return write_run_recipe(folder / "recipe.yaml", family, change)


def test_a_plan_and_a_run_refuse_an_unknown_name_before_any_evaluation(
    chatty: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    path = recipe(tmp_path, chatty, "rga")
    found = plan(path, capsys, monkeypatch)
    assert found.code == 1
    assert ("✗", f"tasks[1].apply_chat_template: {KNOWN}") in found["chat template"]
    assert run_main(path, "--out", tmp_path / "run") == 2
    assert f"tasks[1].apply_chat_template: {KNOWN}" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_a_run_begun_before_goes_on_by_the_default_template(chatty: Family, tmp_path: Path) -> None:
    path, run = recipe(tmp_path, chatty, "rag"), tmp_path / "run"
    assert run_main(path, "--out", run) == 0
    assert prepare(path, run).recipe.tasks[1].apply_chat_template == "rag"
    first, rest = (run / FILE).read_bytes().split(b"\n", 1)
    header = decode(first + b"\n", run / FILE, 1)
    del header["rules"], header["prompts"]
    (run / FILE).write_bytes(encode(header) + rest)
    assert read_recipe(run).tasks[1].apply_chat_template is True
    prepared = prepare(path, run)
    assert prepared.recipe.tasks[1].apply_chat_template is True
    warning = "tasks[1].apply_chat_template: goes on with the default template, as the run in "
    assert any(line.startswith(warning) for line in prepared.warnings)
    assert run_main(path, "--out", run) == 0


EPISODES = """
from lm_eval.api.metrics import mean
from mergekit_cycleqd.tasks.episode_task import EpisodeTask

class Silence(EpisodeTask):
    def documents(self):
        return [{"id": n} for n in range(40)]

    def prompt(self, doc):
        return [{"role": "user", "content": "say nothing"}]

    def episode(self, doc):
        raise NotImplementedError

    def metrics(self):
        return {"share": mean}
"""


def test_episodes_take_no_name(tmp_path: Path) -> None:
    (tmp_path / "episodes.py").write_text(EPISODES)
    (tmp_path / "silence.yaml").write_text("task: silence\nclass: !function episodes.Silence\n")
    settings: dict[str, Any] = {"task": "silence", "include_path": str(tmp_path)}
    LMHarness([task("red", "share,none", apply_chat_template=True, **settings)])
    with pytest.raises(RecipeError) as error:
        LMHarness([task("red", "share,none", apply_chat_template="rag", **settings)])
    (line,) = error.value.faults
    assert line.startswith("tasks[0].apply_chat_template: episodes are always rendered by the mod")
