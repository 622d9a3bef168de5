from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.tasks.episode_task import evals_folder
from mergekit_cycleqd.tasks.mbpp.problems import (
    choose_problems,
    load_dataset,
    load_file,
    read_task_ids,
)
from mergekit_cycleqd.tasks.mbpp.task import find_program, make_prompt
from tests.support.box_records import CODING, solve_coding, write_coding_problems
from tests.support.oracles import Oracle, run_task

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_coding_problems(tmp_path_factory.mktemp("mbpp") / "problems.jsonl")


def load(file: Path, **options: Any) -> Any:
    manager = TaskManager(
        include_path=str(evals_folder()),
        include_defaults=False,
        metadata={"data_files": str(file), **options},
    )
    return manager.load(["mbpp_sandboxed"])["tasks"]["mbpp_sandboxed"]


@pytest.mark.parametrize("style", ["chat", "magicoder"])
def test_reference_solutions_pass(file: Path, boxes: dict[str, str], style: str) -> None:
    task = load(file, prompt=style, **boxes)
    lm = Oracle(solve_coding(task.eval_docs))
    results = run_task(lm, task)
    assert results["pass_at_1,none"] == 1.0
    assert len(lm.batches) == 1


@pytest.mark.parametrize("style", ["chat", "magicoder"])
def test_a_model_that_says_nothing_passes_nothing(
    file: Path, own_boxes: dict[str, str], style: str
) -> None:
    task = load(file, prompt=style, **own_boxes)
    assert run_task(Oracle(lambda chat: ""), task)["pass_at_1,none"] == 0.0


def test_transcripts_show_prompt_reply_and_fault(file: Path, own_boxes: dict[str, str]) -> None:
    task = load(file, **own_boxes)
    results = run_task(Oracle(lambda chat: "def add(a, b):\n    return 3"), task, limit=1)
    outcome = json.loads(results["samples"][0]["resps"][0][0])
    assert outcome["transcript"] == [
        *task.prompt(task.eval_docs[0]),
        {"role": "assistant", "content": "def add(a, b):\n    return 3"},
    ]
    assert outcome["details"] == {"fault": "test 1: AssertionError:"}
    assert (outcome["status"], outcome["turns"]) == ("completed", 1)


def test_the_same_task_object_scores_one_model_after_another(
    file: Path, own_boxes: dict[str, str]
) -> None:
    task = load(file, **own_boxes)
    good, bad = (
        Oracle(solve_coding(task.eval_docs)),
        Oracle(lambda chat: "def add(a, b):\n    return 0"),
    )
    scores = [run_task(lm, task)["pass_at_1,none"] for lm in (bad, good, bad)]
    assert scores == [0.0, 1.0, 0.0]


def test_the_magicoder_prompt_is_a_text_that_ends_in_an_open_block(file: Path) -> None:
    assert make_prompt(load_file(file)[0], "magicoder") == (
        "You are an exceptionally intelligent coding assistant that consistently delivers accurate "
        "and reliable responses to user instructions.\n\n"
        "@@ Instruction:\n"
        "Write a function to add two numbers. Your code should satisfy the following assertion:\n"
        "```python\nassert add(1, 2) == 3\n```\n\n"
        "@@ Response:\n```python\n"
    )


def test_the_chat_prompt_is_one_message_with_the_first_test_only(file: Path) -> None:
    ((role, content),) = (m.values() for m in make_prompt(load_file(file)[0], "chat"))
    assert role == "user"
    assert "assert add(1, 2) == 3" in content
    assert "assert add(-1, 1) == 0" not in content


def test_generation_stops_where_the_next_instruction_begins(
    file: Path, own_boxes: dict[str, str]
) -> None:
    task = load(file, **own_boxes)
    assert task.config.generation_kwargs == {
        "until": ["@@ Instruction", "@@ Response"],
        "max_gen_toks": 512,
        "do_sample": False,
        "temperature": 0.0,
    }


@pytest.mark.parametrize(
    ("style", "reply", "program"),
    [
        ("magicoder", "x = 1\n```\nThis sets x.\n```python\ny = 2\n```", "x = 1\n"),
        ("magicoder", "x = 1\n", "x = 1\n"),
        ("chat", "Sure:\n```python\nx = 1\n```\nor\n```python\ny = 2\n```", "x = 1\n"),
        ("chat", "```\nx = 1\n```", "x = 1\n"),
        ("chat", "```py\nx = 1", "x = 1"),
        ("chat", "x = 1", "x = 1"),
        ("chat", "```python3\nx = 1\n```\nThis sets x.", "x = 1\n"),
        ("chat", "```PYTHON\nx = 1\n```\nThis sets x.", "x = 1\n"),
        ("chat", "```Python 3.11\nx = 1\n```", "x = 1\n"),
        ("chat", '```python title="a.py"\nx = 1\n```', "x = 1\n"),
        ("chat", "```{.python .numbered}\nx = 1\n```", "x = 1\n"),
        ("chat", "```code\nx = 1\n```\nThis sets x.", "x = 1\n"),
        ("chat", "```bash\npip install x\n```\n```python\nx = 1\n```\nend", "x = 1\n"),
        ("chat", "```bash\nls\n```\nthen\n```\nx = 1\n```", "x = 1\n"),
        ("chat", "```\n$ pip install x\n```\n```\nx = 1\n```", "x = 1\n"),
        ("chat", "```\nadd(1, 2)\n```\n```python\nx = 1\n```", "x = 1\n"),
        ("chat", "```python\r\nx = 1\r\n```\r\nThis sets x.\r\n", "x = 1\n"),
        ("chat", "So:\n   ```python\n   if x:\n       y = 1\n   ```\nend", "if x:\n    y = 1\n"),
        ("chat", "```python\nx = 1```\nor\n```bash\nls\n```", "x = 1"),
        ("chat", "````python\nx = '```'\n````\nend", "x = '```'\n"),
        ("chat", "~~~python\nx = '```'\n~~~\nend", "x = '```'\n"),
        ("chat", "```python\ndef f(:\n```\nwrong", "def f(:\n"),
        ("chat", "use `x` and ```y```", "use `x` and ```y```"),
        ("chat", "```python\n```\n", ""),
    ],
)
def test_the_program_is_found_in_the_reply(style: Any, reply: str, program: str) -> None:
    assert find_program(reply, style) == program


def test_documents_keep_the_order_of_the_file(file: Path, own_boxes: dict[str, str]) -> None:
    docs = load(file, **own_boxes).eval_docs
    assert [doc["id"] for doc in docs] == [record["task_id"] for record in CODING]
    assert docs[0]["code"] == "def add(a, b):\n    return a + b"
    assert docs[1]["setup"] == "import math"


@pytest.mark.parametrize("text", ["[5, 2]", '["Mbpp/2", "Mbpp/5"]', "2\n5\n", "Mbpp/5\nMbpp/2"])
def test_a_list_of_task_ids_chooses_problems(
    file: Path, own_boxes: dict[str, str], tmp_path: Path, text: str
) -> None:
    path = tmp_path / "ids"
    path.write_text(text)
    assert [doc["id"] for doc in load(file, task_ids=str(path), **own_boxes).eval_docs] == [2, 5]


def test_samples_count_within_the_chosen_problems(
    file: Path, own_boxes: dict[str, str], tmp_path: Path
) -> None:
    path = tmp_path / "ids"
    path.write_text("[3, 5, 8]")
    assert [
        doc["id"] for doc in load(file, task_ids=str(path), samples="1-", **own_boxes).eval_docs
    ] == [5, 8]


def test_task_ids_that_no_problem_has_are_refused(file: Path, tmp_path: Path) -> None:
    with pytest.raises(CycleQDError, match="no problem has the task_id 4"):
        choose_problems(load_file(file), [2, 4])
    path = tmp_path / "ids"
    path.write_text("two")
    with pytest.raises(CycleQDError, match=r"task_ids: .* must be a JSON list .*'two' is no task"):
        read_task_ids(path)


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[]",
        "",
        '{"task_id": 1}',
        "3",
        '{"task_id": 1, "text": "a", "code": 3, "test_list": 1}',
    ],
)
def test_files_that_hold_no_problems_are_refused_by_name(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(text)
    with pytest.raises(CycleQDError, match=r"bad\.jsonl"):
        load_file(path)


def test_a_task_whose_boxes_cannot_be_had_is_refused_before_any_model(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///no/such/socket")
    with pytest.raises(CycleQDError, match="docker boxes need an engine"):
        load(file, backend="docker")


def test_a_file_that_is_not_there_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(CycleQDError, match=r"data_files: .*none\.jsonl must be"):
        load_file(tmp_path / "none.jsonl")


def test_a_hub_that_cannot_be_reached_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)
    with pytest.raises(CycleQDError, match="name a file of its records with data_files") as caught:
        load_dataset("nobody/has-this-data-set")
    assert len(str(caught.value).splitlines()) == 1


@pytest.mark.slow
def test_reference_solutions_pass_the_real_problems(own_boxes: dict[str, str]) -> None:
    named = os.environ.get("MBPP_FILE")
    if not named:
        pytest.skip("MBPP_FILE names no mbpp.jsonl")
    task = load(Path(named), **own_boxes)
    assert len(task.eval_docs) == 974
    assert run_task(Oracle(solve_coding(task.eval_docs)), task)["pass_at_1,none"] >= 0.99
