"""Which file scores a task: that of its own folder, or else lm-eval's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.run_folder.journal_lines import decode, encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from tests.support.lm_eval_tasks import plain_lm_eval, task
from tests.support.plans import plan
from tests.support.recipes import TASKS, RecipeMaker
from tests.support.runs import run_main


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two folders, each with a task `skill`, of other documents."""
    made = []
    for colour in ("green", "red"):  # the first in the alphabet is not the one of the first task
        folder = tmp_path / f"of_{colour}"
        folder.mkdir()
        shutil.copy(TASKS / "docs.py", folder)
        text = (TASKS / f"tiny_{colour}.yaml").read_text()
        (folder / "skill.yaml").write_text(text.replace(f"tiny_{colour}", "skill"))
        made.append(folder)
    return made[1], made[0]


def skill(name: str, folder: Path | None, **settings: Any) -> Any:
    place = {"include_path": None if folder is None else str(folder)}
    return task(name, "acc,none", task="skill", **place, **settings)


def by_first_rules(run: Path) -> None:
    """Let a run be of an earlier version."""
    first, rest = (run / FILE).read_bytes().split(b"\n", 1)
    header = decode(first + b"\n", run / FILE, 1)
    assert header.pop("rules") == 2
    (run / FILE).write_bytes(encode(header) + rest)


def test_two_tasks_of_one_name_are_each_scored_by_the_file_of_their_own_folder(
    folders: tuple[Path, Path], family: Family
) -> None:
    red, green = folders
    harness = LMHarness([skill("red", red), skill("green", green)])
    engine = HFEngine(Engine(device="cpu", dtype="float32"), Checkpoint.open(family.base_model), [])
    metrics = {"tiny_red": "acc,none", "tiny_green": "acc,none"}
    plain = plain_lm_eval(family.base_model, metrics, list(range(3, 21)))
    assert plain["tiny_red"] != plain["tiny_green"], "or this shows nothing"
    found = harness.evaluate(engine.model, "search")
    assert list(found.values()) == list(plain.values())


def test_a_task_of_another_tasks_folder_is_found_where_only_one_has_it(
    folders: tuple[Path, Path],
) -> None:
    red, green = folders
    LMHarness([skill("red", red), skill("blue", None)])
    with pytest.raises(RecipeError, match=r"tasks\[2\]\.task: 'skill' is in .* and in .* by incl"):
        LMHarness([skill("red", red), skill("green", green), skill("blue", None)])


@pytest.mark.costly
def test_lm_evals_own_task_comes_before_one_of_another_tasks_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    for name in ("docs.py", "tiny_red.yaml"):
        shutil.copy(TASKS / name, tmp_path)
    text = (tmp_path / "tiny_red.yaml").read_text()
    (tmp_path / "tiny_red.yaml").write_text(text.replace("tiny_red", "wikitext"))
    mine = task("red", "acc,none", task="wikitext", include_path=str(tmp_path))
    other = task("blue", "acc,none", task="wikitext", include_path=None)
    with pytest.raises(RecipeError) as error:  # its data are not here, or its metric is another
        LMHarness([mine, other])
    assert all(fault.startswith("tasks[1].") for fault in error.value.faults)


def test_a_task_that_stands_twice_in_its_folder_is_told(
    folders: tuple[Path, Path], make_named_recipe: RecipeMaker
) -> None:
    red, _ = folders
    shutil.copy(red / "skill.yaml", red / "twice.yaml")
    harness = LMHarness([task("green", "acc,none"), skill("red", red)])
    ((name, warning),) = harness.warnings
    assert name == "red" and warning.startswith("task: Duplicate task name 'skill' found.")
    assert str(red / "twice.yaml") in warning


@pytest.mark.parametrize("name", ["fixed", "three", "generate"])
def test_examples_are_shown_as_by_lm_evals_command(name: str, family: Family) -> None:
    harness = LMHarness([task(name, "exact_match,first-word", num_fewshot=2)])
    engine = HFEngine(Engine(device="cpu", dtype="float32"), Checkpoint.open(family.base_model), [])
    prompts: list[str] = []
    generate = engine.model.generate_until

    def spy(requests: list[Any], **settings: Any) -> list[str]:
        prompts.extend(request.args[0] for request in requests)
        return generate(requests, **settings)

    engine.model.generate_until = spy  # type: ignore[method-assign]
    found = harness.evaluate(engine.model, "search")
    metric = {f"tiny_{name}": "exact_match,first-word"}
    plain = plain_lm_eval(family.base_model, metric, list(range(3, 21)), num_fewshot=2)
    assert list(found.values()) == list(plain.values())
    assert {prompt.count("\n\n") for prompt in prompts} == {0 if name == "fixed" else 2}
    fixed = "num_fewshot: 2 is passed over, as lm-eval does: the task 'tiny_fixed' fixes 0"
    assert list(harness.warnings) == ([("fixed", fixed)] if name == "fixed" else [])


def test_a_plan_says_that_examples_are_passed_over_and_an_older_run_with_them_is_refused(
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    change = {"task": "tiny_fixed", "metric": "exact_match,first-word", "num_fewshot": 2}

    def fixed(content: dict[str, Any]) -> None:
        content["evolution"].update(children=1, mutation={"kind": "none"})
        content["tasks"][2].update(change)

    recipe, run = make_recipe(fixed), tmp_path / "run"
    warning = "tasks[2].num_fewshot: 2 is passed over, as lm-eval does: the task 'tiny_fixed' fix"
    mark, text = plan(recipe, capsys, monkeypatch)["tasks"][1]
    assert mark == "!" and text == f"{warning}es 0"
    assert run_main(recipe, "--out", run) == 0
    assert f"warning: {warning}es 0" in capsys.readouterr().out
    by_first_rules(run)
    assert run_main(recipe, "--out", run) == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert "tasks[2].num_fewshot: 2 examples were shown, though the task 'tiny_fixed' fixes" in line


def test_a_run_begun_before_goes_on_only_if_its_tasks_were_scored_by_the_same_files(
    folders: tuple[Path, Path],
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def same_name(content: dict[str, Any]) -> None:
        content["evolution"].update(children=1, mutation={"kind": "none"})
        for place, folder in zip(content["tasks"], folders, strict=False):
            place.update(task="skill", include_path=str(folder))

    recipe, run = make_recipe(same_name), tmp_path / "run"
    assert run_main(recipe, "--out", run) == 0
    assert run_main(recipe, "--out", run) == 0
    by_first_rules(run)
    capsys.readouterr()
    for command in ([recipe, "--out", run], ["eval", run, "--holdout"]):
        assert run_main(*command) == 2
        (line,) = capsys.readouterr().err.strip().splitlines()
        assert f"tasks[1].task: 'skill' was read from {folders[0]}/skill.yaml when this run" in line
    assert run_main("plan", recipe, "--out", run) == 1
    sound, plain = make_recipe(lambda c: c["evolution"].update(children=1)), tmp_path / "plain"
    assert run_main(sound, "--out", plain) == 0
    by_first_rules(plain)
    assert run_main(sound, "--out", plain) == 0
