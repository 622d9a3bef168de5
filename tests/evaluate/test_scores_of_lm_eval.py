"""One score, whoever computes it: lm-eval, `eval` of a model, `eval` of a run, and a search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import lm_eval
import pytest
from lm_eval.models.huggingface import HFLM
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.run_folder.journal_reading import read_recipe
from mergekit_cycleqd.run_folder.retention import columns, read
from tests.support.costly import costly
from tests.support.families import make_chatty_family
from tests.support.lm_eval_tasks import task
from tests.support.published_runs import make_run
from tests.support.recipes import TASKS
from tests.support.runs import run_main

# lm-eval leaves files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

LOSS = "loss,none"  # of every token, so that another prompt is another number
SAMPLES = list(range(3, 21))
OWN = ("--include-path", TASKS, "--samples", "3-20")


@pytest.fixture(scope="module")
@costly
def chatty(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_chatty_family(tmp_path_factory.mktemp("chatty"))


@pytest.fixture(scope="module")
def engine(chatty: Family) -> HFEngine:
    settings = Engine(device="cpu", dtype="float32")
    return HFEngine(settings, Checkpoint.open(chatty.base_model), [])


@pytest.fixture(scope="module")
def run(chatty: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("run"), chatty)


def plain(model: str, name: str, **settings: Any) -> float:
    """The score that lm-eval's own command prints, with its defaults."""
    results = lm_eval.simple_evaluate(
        model=HFLM(pretrained=model, device="cpu", batch_size=8),
        tasks=[name],
        task_manager=TaskManager(include_path=str(TASKS), include_defaults=False),
        samples={name: SAMPLES},
        bootstrap_iters=0,
        **settings,
    )
    return float(results["results"][name][LOSS])


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("name", ["tiny_told", "tiny_told_2"])
def test_prompts_of_examples_and_chats_score_the_same_everywhere(
    name: str, chat: bool, chatty: Family, engine: HFEngine, run: Path, tmp_path: Path
) -> None:
    expected = plain(chatty.base_model, name, apply_chat_template=chat)
    chosen = ("--apply-chat-template",) if chat else ()
    out = tmp_path / "results.json"
    options = ("--tasks", name, *OWN, *chosen)
    assert run_main("eval", chatty.base_model, *options, "--device", "cpu", "--out", out) == 0
    assert json.loads(out.read_text())["results"][name][LOSS] == pytest.approx(expected, abs=1e-6)
    assert run_main("eval", run, *options) == 0
    base = Genome.from_base(read_recipe(run).family).id
    column = next(each for each in reversed(columns_of(run, chat)) if each.task == name)
    assert column.measured[base].scores[LOSS][0] == pytest.approx(expected, abs=1e-6)
    harness = LMHarness([task("red", LOSS, task=name, apply_chat_template=chat)])
    found = harness.evaluate(engine.model, "search")
    assert found["red"] == pytest.approx(expected, abs=1e-6)


def columns_of(run: Path, chat: bool) -> list[Any]:
    return columns([each for each in read(run) if each.settings["chat_template"] is chat])


def test_examples_are_turns_with_a_chat_template_and_one_turn_only_where_the_recipe_says_so(
    chatty: Family, engine: HFEngine
) -> None:
    def score(**settings: Any) -> float:
        mine = task("red", LOSS, task="tiny_told_2", **settings)
        return LMHarness([mine]).evaluate(engine.model, "search")["red"]

    turns, one = (
        score(apply_chat_template=True),
        score(apply_chat_template=True, fewshot_as_multiturn=False),
    )
    assert abs(turns - one) > 1e-3, "or this shows nothing"
    for multiturn, found in ((True, turns), (False, one)):
        settings = {"apply_chat_template": True, "fewshot_as_multiturn": multiturn}
        assert found == pytest.approx(plain(chatty.base_model, "tiny_told_2", **settings), abs=1e-6)
    assert score(fewshot_as_multiturn=False) == score() != turns
