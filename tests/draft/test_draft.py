"""A drafted recipe: its models, names of tasks, samples, and the files around it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import yaml

from mergekit_cycleqd.draft.draft import draft, task_names, write
from mergekit_cycleqd.draft.recipe_text import split
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.family import Family
from tests.support.families import make_adapter, make_chatty_family
from tests.support.recipes import TASKS


def questions(path: Path, count: int = 10) -> str:
    rows = [{"question": f"question {i}", "answer": f"answer {i}"} for i in range(count)]
    path.write_text(json.dumps(rows))
    return str(path)


@pytest.mark.parametrize(
    ("specs", "names"),
    [
        (["gsm8k", "mbpp"], ["gsm8k", "mbpp"]),
        (["x/quickstart_coding.yaml", "quickstart_db.yml"], ["coding", "db"]),
        (["data/sums.jsonl", "other/sums.csv"], ["sums", "sums-2"]),
        (["mmlu_law", "mmlu_law_2"], ["law", "law_2"]),
        (["arc_easy", "boolq"], ["arc_easy", "boolq"]),
        (["ä ö", "-"], ["task", "task-2"]),
    ],
)
def test_tasks_get_short_names(specs: list[str], names: list[str]) -> None:
    assert task_names(specs) == names


@pytest.mark.parametrize(
    ("documents", "samples"),
    [
        (2, ("0", "1")),
        (9, ("0-3", "4-8")),
        (300, ("0-149", "150-299")),
        (1319, ("0-199", "200-699")),
    ],
)
def test_samples_are_split_by_what_there_is(documents: int, samples: tuple[str, str]) -> None:
    assert split(documents) == samples


@pytest.mark.parametrize(("documents", "bins"), [(2, "auto"), (27, "auto"), (28, None)])
def test_few_samples_get_no_more_cells_than_they_fill(
    documents: int, bins: str | None, family: Family, tmp_path: Path
) -> None:
    """28 samples are 14 of search, whose 15 scores fill the paper's 15 cells."""
    task = questions(tmp_path / "own.json", documents)
    made = draft(family.base_model, family.experts[:1], [task], tmp_path / "recipe.yaml")
    assert yaml.safe_load(made.text)["tasks"][0].get("bins") == bins


def test_task_files_and_folders_are_named_as_the_recipe_sees_them(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(family.base_model).parent)
    tasks = [str(TASKS / "tiny_red.yaml"), str(TASKS / "tiny_green.yaml")]
    made = draft("base", ["red", "green"], tasks, tmp_path / "sub" / "recipe.yaml")
    content = yaml.safe_load(made.text)
    assert content["base_model"].endswith("/base") and content["base_model"].startswith("..")
    assert [task["name"] for task in content["tasks"]] == ["red", "green"]
    assert content["tasks"][0]["include_path"] == str(TASKS)
    assert content["tasks"][0]["metric"] == "acc,none"
    assert content["evolution"] == {"preset": "best", "children": 300}
    assert "task_defaults" not in content
    assert len(made.text.splitlines()) < 25


@pytest.mark.costly
@pytest.mark.filterwarnings("ignore::FutureWarning")  # of PEFT's
def test_an_adapter_stands_behind_its_base_and_a_chat_template_is_found(tmp_path: Path) -> None:
    family = make_chatty_family(tmp_path)
    adapter = str(make_adapter(family.base_model, tmp_path / "adapter"))
    tasks = [questions(tmp_path / "a.json"), questions(tmp_path / "b.json")]
    made = draft(family.base_model, [adapter, family.experts[0]], tasks, tmp_path / "r.yaml")
    content = yaml.safe_load(made.text)
    assert content["experts"][0]["model"] == f"{family.base_model}+{adapter}"
    assert content["task_defaults"] == {"apply_chat_template": True}


@pytest.mark.parametrize(("experts", "tasks"), [(2, 1), (1, 2), (3, 2)])
def test_other_numbers_of_experts_than_tasks_leave_open_whose_a_task_is(
    family: Family, tmp_path: Path, experts: int, tasks: int
) -> None:
    given = [str(TASKS / f"tiny_{name}.yaml") for name in ("red", "green")][:tasks]
    made = draft(family.base_model, family.experts[:experts], given, tmp_path / "recipe.yaml")
    content = yaml.safe_load(made.text)
    assert content["experts"] == [{"model": model} for model in family.experts[:experts]]
    assert len(content["tasks"]) == tasks and made.experts == {}


def test_a_way_to_compare_answers_is_for_own_data(family: Family, tmp_path: Path) -> None:
    tasks = [str(TASKS / "tiny_red.yaml"), str(TASKS / "tiny_green.yaml")]
    with pytest.raises(RecipeError, match="--match choice: is for files of questions and answers"):
        draft(family.base_model, family.experts[:2], tasks, tmp_path / "r.yaml", "choice")


def test_a_task_that_a_way_to_compare_does_not_touch_is_named(
    family: Family, tmp_path: Path
) -> None:
    tasks = [questions(tmp_path / "own.json"), str(TASKS / "tiny_green.yaml")]
    made = draft(family.base_model, family.experts[:2], tasks, tmp_path / "r.yaml", "contains")
    (note,) = made.notes
    assert note.startswith("--match contains: is for files of questions and answers; not for ")
    assert "tiny_green.yaml" in note and "own.json" not in note
    assert draft(family.base_model, family.experts[:2], tasks, tmp_path / "r.yaml").notes == ()


def test_every_missing_model_and_task_is_told(tmp_path: Path, family: Family) -> None:
    with pytest.raises(RecipeError) as models:
        draft("./no-base", ["./x", family.experts[0]], ["a.json", "b.json"], tmp_path / "r.yaml")
    assert [line.partition(":")[0] for line in models.value.faults] == [
        "--base ./no-base",
        "--expert ./x",
    ]
    given = [str(tmp_path / "a.json"), questions(tmp_path / "b.json", 1)]
    with pytest.raises(RecipeError) as tasks:
        draft(family.base_model, family.experts[:2], given, tmp_path / "r.yaml")
    first, second = tasks.value.faults
    assert first == f"--task {given[0]}: no such file"
    assert second == f"--task {given[1]}: needs two samples or more, got 1"


def test_a_model_that_stands_twice_is_told_before_anything_is_written(
    tmp_path: Path, family: Family
) -> None:
    tasks = [questions(tmp_path / "a.json"), questions(tmp_path / "b.json")]
    with pytest.raises(RecipeError, match=r"experts\[1\].model"):
        draft(family.base_model, [family.experts[0]] * 2, tasks, tmp_path / "r.yaml")


def test_files_are_written_once_and_others_are_not_overwritten(
    tmp_path: Path, family: Family
) -> None:
    tasks = [questions(tmp_path / "a.json"), questions(tmp_path / "b.json")]
    made = draft(family.base_model, family.experts[:2], tasks, tmp_path / "new" / "r.yaml")
    files = write(made)
    assert files[-1] == tmp_path / "new/r.yaml" and len(files) == 5
    assert write(made) == []
    (tmp_path / "new/tasks/a.jsonl").write_text("changed\n")
    with pytest.raises(RecipeError, match=r"a\.jsonl: exists already, with another content"):
        write(made)
    assert (tmp_path / "new/tasks/a.jsonl").read_text() == "changed\n"
    made = draft(family.base_model, family.experts[:2], tasks, tmp_path)
    with pytest.raises(RecipeError, match="needs the name of a file, got a folder"):
        write(made)
