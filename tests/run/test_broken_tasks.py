"""A task that breaks ends a run, a plan and `eval` with its reason, and leaves nothing untrue."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.journal_reading import FILE
from tests.support.faulty_tasks import LATE, write_faulty_tasks
from tests.support.plans import plan
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main

# lm-eval leaves files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

REASON = f"task 'green', sample {LATE}: its prompt cannot be made: KeyError: 'absent'"


@pytest.fixture
def broken(make_recipe: RecipeMaker, tmp_path: Path) -> Path:
    """A recipe whose second task breaks at one sample."""
    write_faulty_tasks(tmp_path / "faulty")
    change = {
        "task": "text_keyerror_late",
        "include_path": "faulty",
        "metric": "exact_match,none",
        "samples": {"search": "0-11"},
    }
    return make_recipe(lambda content: content["tasks"][1].update(change))


def test_a_run_says_the_reason_and_writes_nothing_but_its_journal(
    broken: Path, tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main(broken, "--out", tmp_path / "run") == 2
    out, err = capsys.readouterr()
    assert f"the model 'base' failed: {REASON}" in out
    assert f"the model 'uniform merge' failed: {REASON}" in out
    last = err.strip().splitlines()[-1]
    assert last == f"error: the expert {family.experts[0]} could not be evaluated: {REASON}"
    assert {file.name for file in (tmp_path / "run").iterdir()} <= {FILE, ".lock"}


def test_a_plan_has_one_red_row_of_it(
    broken: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = plan(broken, capsys, monkeypatch)
    assert found.code == 1
    assert found.only("child") == ("✗", f"the base cannot be evaluated: {REASON}")


def test_eval_of_a_model_has_one_line_of_it(
    broken: Path, tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tasks", "text_keyerror_late", "--include-path", tmp_path / "faulty")
    assert run_main("eval", family.base_model, *options, "--device", "cpu") == 2
    (line,) = [each for each in capsys.readouterr().err.splitlines() if "error" in each]
    assert line == "error: " + REASON.replace("green", "text_keyerror_late")


@pytest.mark.parametrize("number", [0, 1, 2])
def test_whichever_expert_breaks_is_named_and_is_tried_again_by_the_next_run(
    number: int,
    make_recipe: RecipeMaker,
    family: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    out = tmp_path / "run"
    recipe = make_recipe(
        lambda content: content["evolution"].update(children=1, mutation={"kind": "none"})
    )
    with monkeypatch.context() as patch:
        _break(patch, family, number)
        assert run_main(recipe, "--out", out) == 2
    last = capsys.readouterr().err.strip().splitlines()[-1]
    assert last == (
        f"error: the expert {family.experts[number]} could not be evaluated: "
        "RuntimeError: the device fell off"
    )
    assert not (out / "archives.json").exists() and not (out / "elites").exists()
    assert run_main(recipe, "--out", out) == 0
    assert (out / "archives.json").exists()


def _break(patch: pytest.MonkeyPatch, family: Family, number: int) -> None:
    """Let the evaluation of an expert fail."""
    from mergekit_cycleqd.engines.hf.engine import HFEngine

    held: list[str] = []
    load: Callable[..., Any] = HFEngine.load
    evaluate: Callable[..., Any] = LMHarness.evaluate

    def noting(engine: HFEngine, genome: Genome) -> None:
        held[:] = [genome.id]
        load(engine, genome)

    def breaking(*args: Any, **settings: Any) -> Any:
        if held == [Genome.from_expert(family, number).id]:
            raise RuntimeError("the device\nfell off")
        return evaluate(*args, **settings)

    patch.setattr(HFEngine, "load", noting)
    patch.setattr(LMHarness, "evaluate", breaking)
