"""Data files of tasks are found wherever the command was started."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import datasets
import pytest

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.evaluators.task_data import data_beside, folders_of
from mergekit_cycleqd.genome.family import Family
from tests.support.lm_eval_tasks import task
from tests.support.runs import run_main

# lm-eval leaves files to the garbage collector
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

TASK = """
task: words
dataset_path: json
dataset_kwargs: {data_files: {test: DATA}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{question}}"
doc_to_choice: [w1, w2]
doc_to_target: 0
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""


def write(file: Path, *words: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(json.dumps({"question": word}) + "\n" for word in words))


@pytest.fixture
def tasks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of tasks, while the shell is in another folder."""
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "project" / "tasks").mkdir(parents=True)
    return tmp_path / "project" / "tasks"


def questions(tasks: Path) -> list[str]:
    words = task("red", "acc,none", task="words", include_path=str(tasks), samples={"search": "0"})
    loaded = LMHarness([words])._objects["search"]["red"].first
    return [doc["question"] for doc in loaded.eval_docs]


@pytest.mark.parametrize(
    ("named", "place"),
    [
        ("words.jsonl", "project/tasks/words.jsonl"),
        ("words.jsonl", "project/words.jsonl"),
        ("tasks/words.jsonl", "project/tasks/words.jsonl"),
        ("wor*.jsonl", "project/tasks/words.jsonl"),
        ("words.jsonl", "elsewhere/words.jsonl"),
    ],
)
def test_data_are_found_beside_the_task_then_beside_its_folder_then_in_the_shells_folder(
    named: str, place: str, tasks: Path, tmp_path: Path
) -> None:
    (tasks / "words.yaml").write_text(TASK.replace("DATA", named))
    with pytest.raises(RecipeError, match=r"tasks\[0\]\.task: 'words' cannot be loaded"):
        questions(tasks)
    write(tmp_path / place, "w5", "w6")
    assert questions(tasks) == ["w5", "w6"]


def test_the_nearest_file_is_taken(tasks: Path, tmp_path: Path) -> None:
    (tasks / "words.yaml").write_text(TASK.replace("DATA", "words.jsonl"))
    for place in ("elsewhere", "project", "project/tasks"):
        write(tmp_path / place / "words.jsonl", place)
        assert questions(tasks) == [place]


def test_eval_finds_them_too(
    tasks: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    (tasks / "words.yaml").write_text(TASK.replace("DATA", "words.jsonl"))
    write(tasks / "words.jsonl", "w5", "w6")
    options = ("--tasks", "words", "--include-path", tasks, "--device", "cpu")
    assert run_main("eval", family.base_model, *options) == 0
    assert "|words|" in capsys.readouterr().out


def test_names_that_are_no_relative_files_reach_datasets_as_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "squad").mkdir()
    (tmp_path / "here.json").touch()
    asked: list[Any] = []
    monkeypatch.setattr(
        datasets, "load_dataset", lambda *args, **kwargs: asked.append((args, kwargs))
    )
    with data_beside([tmp_path]):
        datasets.load_dataset(
            "squad", "plain", data_files=["hf://a/b.json", "/abs.json", "no.json"]
        )
        datasets.load_dataset("./squad", data_dir="squad", data_files={"test": ["here.json"]})
    assert asked[0] == (
        ("squad", "plain"),
        {"data_files": ["hf://a/b.json", "/abs.json", "no.json"]},
    )
    here = {"test": [str(tmp_path / "here.json")]}
    placed = str(tmp_path / "squad")
    assert asked[1] == ((placed,), {"data_dir": placed, "data_files": here})


def test_lm_evals_own_tasks_are_left_alone(tmp_path: Path) -> None:
    assert folders_of(tmp_path / "own.yaml", None) == []
    assert folders_of(tmp_path / "own.yaml", str(tmp_path / "mine")) == []
