"""What all tasks share may stand once, in `task_defaults`, and means the same as in each task."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.recipe.foreign_code import foreign_code
from mergekit_cycleqd.recipe.load import load_recipe, parse_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.task_defaults import without_defaults
from mergekit_cycleqd.recipe.tasks import Task
from tests.support.recipes import recipe_content

SHARED = {
    "metric": "acc,none",
    "samples": {"search": "0-9", "holdout": "10-"},
    "num_fewshot": 2,
    "include_path": "tasks",
    "bins": 4,
    "apply_chat_template": True,
    "metadata": {"data_files": "words.jsonl"},
}


def content_with(*tasks: dict[str, Any], **defaults: Any) -> dict[str, Any]:
    names = "abcdef"[: len(tasks)]
    named = [{"name": name, "task": "t"} | task for name, task in zip(names, tasks, strict=True)]
    return recipe_content(names, tasks=named, task_defaults=defaults)


def lines_of(content: dict[str, Any]) -> list[str]:
    with pytest.raises(RecipeError) as raised:
        parse_recipe(content, Path("r.yaml"))
    return [fault.removeprefix("r.yaml: ") for fault in raised.value.faults]


def test_defaults_mean_what_they_mean_in_each_task_and_leave_no_trace(tmp_path: Path) -> None:
    (tmp_path / "tasks").mkdir()
    (tmp_path / "words.jsonl").touch()
    other = {"num_fewshot": 0, "samples": {"search": "3-5"}, "metadata": None}
    short = content_with({}, other, {"bins": 9}, **SHARED)
    long = content_with(*({**SHARED, **task} for task in ({}, other, {"bins": 9})))
    written = []
    for content in (short, long):
        file = tmp_path / "recipe.yaml"
        file.write_text(yaml.safe_dump(content))
        written.append(load_recipe(file).written())
    assert written[0] == written[1]
    assert "task_defaults" not in written[0]
    assert written[0]["tasks"][0]["include_path"] == str(tmp_path / "tasks")
    assert written[0]["tasks"][0]["metadata"] == {"data_files": str(tmp_path / "words.jsonl")}
    assert written[0]["tasks"][1]["samples"]["holdout"] is None, "a key is replaced as a whole"
    assert Recipe.model_validate(written[0]).written() == written[0]


def test_settings_of_lm_eval_are_not_for_other_evaluators() -> None:
    python = {"evaluator": "python", "task": "mine.py:norm", "metric": "norm"}
    agent = {"evaluator": "agentbench", "task": "agentbench_os"}
    recipe = parse_recipe(content_with({}, python, agent, **SHARED), Path("r.yaml"))
    assert [task.num_fewshot for task in recipe.tasks] == [2, None, 2]
    assert [task.include_path for task in recipe.tasks] == ["tasks", None, None]
    assert [task.bins for task in recipe.tasks] == [4, 4, 4]


@pytest.mark.parametrize(
    ("change", "lines"),
    [
        (
            {"num_fewshot": -1},
            ["task_defaults.num_fewshot: must be greater than or equal to 0, got -1"],
        ),
        (
            {"nmu_fewshot": 2},
            ["task_defaults.nmu_fewshot: unknown key; did you mean 'num_fewshot'?"],
        ),
        (
            {"samples": {"search": "x"}},
            ["task_defaults.samples.search: must be ids such as 0-199, 200- or 0-9,20-29, got 'x'"],
        ),
    ],
)
def test_a_faulty_default_is_one_line_whatever_the_number_of_tasks(
    change: dict[str, Any], lines: list[str]
) -> None:
    found = lines_of(content_with({}, {}, {}, **{**SHARED, **change}))
    assert len(found) == len(lines)
    assert all(line.startswith(start) for line, start in zip(found, lines, strict=True))


def test_a_fault_of_a_task_is_still_told_beside_one_of_the_defaults() -> None:
    found = lines_of(content_with({"bins": 0}, {}, **{**SHARED, "bins": -1}))
    assert [line.split(":")[0] for line in found] == ["tasks[0].bins", "task_defaults.bins"]
    assert lines_of(content_with({}, {"metric": ""}, **SHARED)) == [
        "tasks[1].metric: must have at least 1 character, got ''"
    ]
    needed = lines_of(content_with({}, {}, bins=3))
    assert needed[0] == "tasks[0].metric: is required" and len(needed) == 4


@pytest.mark.parametrize("section", ["text", [1], 3])
def test_a_section_of_another_form_is_refused(section: Any) -> None:
    content = content_with({"metric": "m", "samples": {"search": "0-1"}}) | {
        "task_defaults": section
    }
    assert any(line.startswith("task_defaults: must be keys") for line in lines_of(content))


def test_every_key_of_a_task_but_its_name_may_be_shared() -> None:
    field = Recipe.model_fields["task_defaults"].annotation
    (section,) = [each for each in field.__args__ if each is not type(None)]  # type: ignore[union-attr]
    assert set(section.model_fields) == set(Task.model_fields) - {"name"}


def test_a_strangers_defaults_are_looked_into_and_written_out(tmp_path: Path) -> None:
    content = content_with({}, {}, **{**SHARED, "metadata": {"image": "evil:latest"}})
    content["task_defaults"]["confirm_run_unsafe_code"] = True
    file = tmp_path / "recipe.yaml"
    file.write_text(yaml.safe_dump(content))
    found = foreign_code(tmp_path, file, tmp_path / "tasks")
    assert any("tasks[0].metadata.image: 'evil:latest'" in item for item in found.items)
    before = deepcopy(content)
    plain = without_defaults(content)
    assert content == before and "task_defaults" not in plain
    assert all(task["confirm_run_unsafe_code"] is True for task in plain["tasks"])
