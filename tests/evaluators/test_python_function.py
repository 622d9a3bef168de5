"""Functions of the user's as tasks, alone and beside lm-eval's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.evaluators.base import Scored
from mergekit_cycleqd.evaluators.combined import CombinedHarness
from mergekit_cycleqd.evaluators.open import harness_of, open_harness
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.journal_reading import read_header
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.early_stop import CannotEnter
from tests.support.recipes import RecipeMaker, use_function

CODE = '''
CALLS = []

def norm(model, ids, scale=1.0):
    """Of the embeddings: tells the models of a family apart."""
    CALLS.append(list(ids))
    weight = model.model.get_input_embeddings().weight
    return {"norm": scale * float(weight.detach().norm()) + len(ids), "text": "long"}

def number(model, ids):
    return 3.0

NOT = 3
'''


@pytest.fixture
def code(tmp_path: Path) -> Path:
    (tmp_path / "mine.py").write_text(CODE)
    return tmp_path / "mine.py"


def test_a_run_mixes_functions_and_lm_eval(
    code: Path, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    recipe = make_recipe(lambda content: use_function(content, metadata={"scale": 2.0}))
    with pytest.raises(SystemExit) as exit:
        main([str(recipe), "--out", str(tmp_path / "run")])
    assert exit.value.code == 0
    run = RunView.read(tmp_path / "run")
    assert run.finished
    for evaluation in run.evaluations:
        assert evaluation.scores is not None
        assert list(evaluation.scores) == ["red", "green", "blue"], "in the recipe's order"
        known = 3 if evaluation.split == "search" else 7
        assert evaluation.scores["green"] > known and 0 <= evaluation.scores["red"] <= 1
    assert len({e.scores["green"] for e in run.evaluations if e.scores}) > 5
    task = read_header(tmp_path / "run")["recipe"]["tasks"][1]
    assert task["task"] == f"{code.resolve()}:norm"


def test_a_function_of_a_module_gets_model_ids_and_options(
    code: Path, make_named_recipe: RecipeMaker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(code.parent))
    tasks = load_recipe(
        make_named_recipe(lambda content: use_function(content, task="mine:norm"))
    ).tasks
    harness = harness_of(tasks[1:2])
    assert harness.sizes("search") == {"green": 3} and harness.sizes("holdout") == {"green": 7}

    class Model:
        model = None

    seen = []
    harness._functions["green"] = lambda *args: seen.append(args) or {"norm": 1}  # type: ignore[attr-defined]
    model = Model()
    assert harness.evaluate(model, "holdout") == {"green": 1.0}
    assert seen == [(model, [3, 4, 5, 6, 7, 8, 9])]


def test_what_else_a_function_returns_may_be_a_measure(
    code: Path, make_named_recipe: RecipeMaker
) -> None:
    change = {"measures": ["size"]}
    tasks = load_recipe(make_named_recipe(lambda content: use_function(content, **change))).tasks
    harness = harness_of(tasks[1:2])
    harness._functions["green"] = lambda *_: {"norm": 1, "size": 7, "text": "x"}  # type: ignore[attr-defined]
    assert harness.evaluate(None, "search") == {"green": 1.0, "size of green": 7.0}
    harness._functions["green"] = lambda *_: {"norm": 1}  # type: ignore[attr-defined]
    with pytest.raises(CycleQDError, match=r"does not report 'size'; it reports norm"):
        harness.evaluate(None, "search")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"confirm_run_unsafe_code": False}, "confirm_run_unsafe_code: the run would call"),
        ({"task": "mine.py"}, "task: must be package.module:function or file.py:function"),
        ({"task": "mine.py:nothing"}, "mine.py has no function 'nothing'"),
        ({"task": "mine.py:NOT"}, "mine.py has no function 'NOT'"),
        ({"task": "yours.py:norm"}, "no such file, neither beside the recipe nor here: yours.py"),
        ({"task": "no.such.module:norm"}, "cannot be imported (ModuleNotFoundError"),
        ({"samples": {"search": "5-"}}, "samples.search: needs an end, such as 0-199"),
        ({"gen_kwargs": {"max_gen_toks": 3}}, "gen_kwargs: is a setting of lm-eval"),
    ],
)
def test_what_cannot_work_is_one_line_with_the_number_of_its_task(
    change: dict[str, Any], message: str, code: Path, make_named_recipe: RecipeMaker
) -> None:
    recipe = make_named_recipe(lambda content: use_function(content, **change))
    with pytest.raises(RecipeError) as error:
        open_harness(load_recipe(recipe))
    (line,) = error.value.faults
    assert "tasks[1]" in line and message in line and "\n" not in line


def test_nothing_is_imported_before_the_user_agreed(
    make_named_recipe: RecipeMaker, tmp_path: Path
) -> None:
    (tmp_path / "mine.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w').close()\n{CODE}")
    recipe = make_named_recipe(lambda content: use_function(content, confirm_run_unsafe_code=False))
    with pytest.raises(RecipeError):
        open_harness(load_recipe(recipe))
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "norms"}, "does not report 'norms'; it reports norm, text"),
        ({"metric": "text"}, "reports 'long' as text"),
        ({"task": "mine.py:number"}, "must return a mapping of metrics to numbers, got float"),
    ],
)
def test_what_a_function_gives_is_checked(
    change: dict[str, Any], message: str, code: Path, make_named_recipe: RecipeMaker
) -> None:
    import torch

    class Model:
        model = torch.nn.Module()

    Model.model.get_input_embeddings = lambda: torch.nn.Embedding(2, 2)  # type: ignore[assignment]
    recipe = load_recipe(make_named_recipe(lambda content: use_function(content, **change)))
    with pytest.raises(CycleQDError, match=message):
        harness_of(recipe.tasks[1:2]).evaluate(Model(), "search")


def test_thresholds_are_checked_between_the_parts() -> None:
    asked = []

    class Part:
        illustrated = conversing = False
        steady: frozenset[str] = frozenset()
        lower: frozenset[str] = frozenset()
        higher: frozenset[str] = frozenset()
        warnings: tuple[tuple[str, str], ...] = ()

        def __init__(self, name: str) -> None:
            self.name = name

        def evaluate(self, model: Any, split: str, repeat: int, only: object) -> Scored:
            asked.append(self.name)
            return Scored({self.name: 0.5})

    class EntryThresholds:
        def check(self, bounds: Any) -> None:
            assert bounds == {"a": (0.5, 0.5), "b": (float("-inf"), float("inf"))}
            raise CannotEnter(bounds)

    both: Any = [Part("b"), Part("a")][::-1]
    with pytest.raises(CannotEnter):
        CombinedHarness(both, ["a", "b"]).evaluate(None, "search", EntryThresholds())  # type: ignore[arg-type]
    assert asked == ["a"]


@pytest.mark.parametrize(
    ("said", "score", "kept"),
    [
        ([1, 0, 1, 1], 0.75, [1.0, 0.0, 1.0, 1.0]),
        ((0.5, 0.25, 0.5, 0.5), 0.4375, [0.5, 0.25, 0.5, 0.5]),
        (np.array([True, False, False, False]), 0.25, [1.0, 0.0, 0.0, 0.0]),
        (0.4, 0.4, None),
        (np.float32(0.5), 0.5, None),
        (torch.tensor([0.5]), 0.5, None),
    ],
)
def test_a_function_may_say_what_each_sample_scored(
    code: Path, tmp_path: Path, said: Any, score: float, kept: list[float] | None
) -> None:
    harness = listed(code, said)
    found = harness.evaluate(None, "search")
    assert found == {"green": score}
    values = found.samples.get("green")
    assert (None if values is None else values.tolist()) == kept
    assert harness.asked().written() == {"search": {"green": "0-3"}}


def test_a_list_must_have_a_number_for_each_sample(code: Path) -> None:
    with pytest.raises(CycleQDError, match=r"a number for each of 4 samples as norm, .* got 3"):
        listed(code, [1, 0, 1]).evaluate(None, "search")
    with pytest.raises(CycleQDError, match=r"reports \[1, 0, 'x', 1\] as norm"):
        listed(code, [1, 0, "x", 1]).evaluate(None, "search")


def listed(code: Path, said: Any) -> Any:
    """One task whose function says this, whatever the model."""
    content: dict[str, Any] = {"tasks": [{}, {}]}
    use_function(content, task=f"{code}:norm", samples={"search": "0-3"})
    harness: Any = harness_of([Task.model_validate(content["tasks"][1])])
    harness._functions["green"] = lambda model, ids: {"norm": said}
    return harness
