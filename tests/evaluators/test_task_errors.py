"""Whatever a task raises is one line, with the task, the sample and the reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.evaluators.task_errors import TaskError, located
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.search.early_stop import CannotEnter
from tests.support.faulty_tasks import LATE, FaultyTask, faulty_tasks, write_faulty_tasks
from tests.support.lm_eval_tasks import task

USUAL = [each for each in faulty_tasks() if "error" not in each.name or "keyerror" in each.name]
OTHER = [each for each in faulty_tasks() if each not in USUAL]


@pytest.fixture(scope="module")
def engine(family: Family) -> HFEngine:
    settings = Engine(device="cpu", dtype="float32")
    return HFEngine(settings, Checkpoint.open(family.base_model), [])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("faulty")
    assert len(write_faulty_tasks(made)) > 100
    return made


def line_of(faulty: FaultyTask, engine: HFEngine, folder: Path) -> str:
    """What is said of a task that is evaluated beside a sound one."""
    settings = {"include_path": str(folder), "samples": {"search": "2-11"}}
    broken = task("green", faulty.metric, task=faulty.name, **settings)
    with pytest.raises((RecipeError, TaskError)) as raised:
        LMHarness([task("red", "acc,none"), broken]).evaluate(engine.model, "search")
    return str(raised.value)


def assert_told(faulty: FaultyTask, engine: HFEngine, folder: Path) -> None:
    line = line_of(faulty, engine, folder)
    assert "\n" not in line and "Traceback" not in line
    assert re.search(faulty.words, line), line
    if line.startswith("task "):
        sample = {0: 2, None: None}.get(faulty.sample, faulty.sample)  # the first of those asked
        assert line.startswith("task 'green'")
        assert sample is None or line.startswith(f"task 'green', sample {sample}: "), line
    else:
        assert line.startswith("tasks[1].task: ") and faulty.name in line


@pytest.mark.parametrize("faulty", USUAL, ids=lambda faulty: faulty.name)
def test_a_task_that_breaks_is_one_line(
    faulty: FaultyTask, engine: HFEngine, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)  # a task without data_files takes all files from here on
    assert_told(faulty, engine, folder)


@pytest.mark.slow
@pytest.mark.parametrize("faulty", OTHER, ids=lambda faulty: faulty.name)
def test_an_error_of_any_kind_is_one_line(
    faulty: FaultyTask, engine: HFEngine, folder: Path
) -> None:
    assert_told(faulty, engine, folder)


def test_the_sample_is_found_by_halves_where_the_model_cannot_answer(
    engine: HFEngine, folder: Path
) -> None:
    (empty,) = [each for each in faulty_tasks() if each.name == "empty_target"]
    asked: list[int] = []
    method = engine.model.loglikelihood

    def spy(requests: list[Any], **settings: Any) -> list[Any]:
        asked.append(len(requests))
        return method(requests, **settings)

    engine.model.loglikelihood = spy  # type: ignore[method-assign]
    try:
        line = line_of(empty, engine, folder)
    finally:
        del engine.model.loglikelihood
    assert f"task 'green', sample {LATE}: the model cannot answer ('w7 w8', '')" in line
    all_at_once, *halves = asked
    assert all_at_once == 18 * 4 + 10 and len(halves) < 12 and sum(halves) < 2 * all_at_once


def test_what_was_replaced_is_given_back_and_other_errors_pass(engine: HFEngine) -> None:
    harness = LMHarness([task("red", "acc,none")])
    loaded = harness._objects["search"]["red"].first
    before = dict(vars(loaded)), dict(vars(engine.model))
    for error in (CannotEnter({}), KeyboardInterrupt(), RecipeError(["no"])):
        with pytest.raises(type(error)) as raised, located(engine.model, {"red": loaded}, None):
            assert vars(loaded).keys() > before[0].keys()
            raise error
        assert raised.value is error
    with pytest.raises(TaskError, match=r"task 'red': cannot be evaluated: OSError: no disk"):  # noqa: SIM117
        with located(engine.model, {"red": loaded}, None):
            raise OSError("no disk")
    assert (vars(loaded), vars(engine.model)) == before
