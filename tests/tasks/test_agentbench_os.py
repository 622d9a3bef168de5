from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.sandbox.root import PATH
from mergekit_cycleqd.tasks.agentbench_os.protocol import parse_action
from mergekit_cycleqd.tasks.episode_task import evals_folder
from tests.support.box_records import FIRST_TURN, act, bash, solve, write_os_problems
from tests.support.oracles import Chat, Oracle, run_task
from tests.support.os_episodes import load, outcomes

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")

NAMES = [
    "std-001-log-00000",
    "std-001-log-00001",
    "std-002-one-00000",
    *(f"std-002-several-{i:05}" for i in range(9)),
    "dev-001-dev-00000",
]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_os_problems(tmp_path_factory.mktemp("agentbench"))


def test_documents_come_by_folder_file_and_place_and_dev_last(
    root: Path, own_boxes: dict[str, str]
) -> None:
    task = load(root, **own_boxes)
    assert [doc["id"] for doc in task.eval_docs] == NAMES


@pytest.mark.parametrize("inner", ["data", "data/os_interaction"])
def test_the_data_folder_of_a_clone_is_a_root_too(
    root: Path, own_boxes: dict[str, str], inner: str
) -> None:
    assert load(root / inner, **own_boxes).eval_docs == load(root, **own_boxes).eval_docs


def test_single_problem_files_can_be_named(root: Path, own_boxes: dict[str, str]) -> None:
    file = root / "data" / "os_interaction" / "data" / "2" / "one.json"
    manager = TaskManager(
        include_path=str(evals_folder()),
        include_defaults=False,
        metadata={"data_files": [str(file)], **own_boxes},
    )
    task = manager.load(["agentbench_os"])["tasks"]["agentbench_os"]
    assert [doc["id"] for doc in task.eval_docs] == ["std-002-one-00000"]


def test_the_prompt_is_instructions_one_solved_problem_and_the_problem(
    root: Path, own_boxes: dict[str, str]
) -> None:
    task = load(root, **own_boxes)
    chat = task.prompt(task.eval_docs[0])
    assert [message["role"] for message in chat] == ["user", "assistant"] * 3 + ["user"]
    assert "Act: answer(Your answer to the question" in chat[0]["content"]
    assert [parse_action(message["content"]).kind for message in chat[1::2]] == [
        "bash",
        "bash",
        "answer",
    ]
    assert chat[-1]["content"] == (
        "Now, I will start a new problem in a new OS. My problem is:\n\n"
        "How many lines has /var/app.log?"
    )


def test_a_task_that_names_no_data_is_refused() -> None:
    manager = TaskManager(include_path=str(evals_folder()), include_defaults=False)
    with pytest.raises(CycleQDError, match="agentbench_os: needs the option agentbench_root"):
        manager.load(["agentbench_os"])


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"protocol": "v1"}, "option protocol must be 'v0.2' or 'released', got 'v1'"),
        ({"backend": "vm"}, "option backend must be 'auto', 'docker' or 'bubblewrap', got 'vm'"),
        ({"max_rounds": 0}, "option max_rounds must be greater than or equal to 1, got 0"),
        ({"max_round": 3}, "unknown option 'max_round'.*max_rounds"),
    ],
)
def test_wrong_options_are_refused_by_name(root: Path, options: dict[str, Any], line: str) -> None:
    with pytest.raises(CycleQDError, match=line):
        load(root, **options)


def test_reference_solutions_solve_every_problem(root: Path, boxes: dict[str, str]) -> None:
    task = load(root, **boxes)
    lm = Oracle(solve(task.eval_docs))
    results = run_task(lm, task)
    wrong = [NAMES[i] for i, o in enumerate(outcomes(results)) if not o["correct"]]
    assert (wrong, results["acc,none"]) == ([], 1.0)
    assert len(lm.batches) == 2
    assert {o["status"] for o in outcomes(results)} == {"completed"}


@pytest.mark.parametrize("protocol", ["v0.2", "released"])
@pytest.mark.parametrize("reply", ["", "Act: answer()", "Act: finish"])
def test_a_model_that_does_nothing_solves_nothing(
    root: Path, own_boxes: dict[str, str], protocol: str, reply: str
) -> None:
    task = load(root, **own_boxes, protocol=protocol)
    assert run_task(Oracle(lambda chat: reply), task)["acc,none"] == 0.0


def test_repeats_run_every_problem_again_in_a_box_of_its_own(
    root: Path, own_boxes: dict[str, str]
) -> None:
    task = load(root, **own_boxes, repeats=2, samples="1")
    turns: list[str] = []

    def answer(chat: Chat) -> str:
        turns.append(chat[-1]["content"])
        return bash("echo more >> /var/app.log") if len(chat) == FIRST_TURN else act("answer(7)")

    results = run_task(Oracle(answer), task)
    assert results["acc,none"] == 1.0
    assert len(turns) == 4


def test_the_same_task_object_scores_one_model_after_another(
    root: Path, own_boxes: dict[str, str]
) -> None:
    task = load(root, **own_boxes, samples="0-5")
    good, bad = Oracle(solve(task.eval_docs)), Oracle(lambda chat: act("answer(0)"))
    scores = [run_task(lm, task)["acc,none"] for lm in (good, bad, good)]
    assert scores == [1.0, 0.0, 1.0]


def test_episodes_one_by_one_say_what_episodes_together_say(
    root: Path, own_boxes: dict[str, str]
) -> None:
    together, alone = (
        outcomes(run_task(Oracle(solve(task.eval_docs)), task))
        for task in (load(root, **own_boxes), load(root, **own_boxes, max_open=1))
    )
    assert together == alone


@pytest.fixture(scope="module")
def real_root() -> Path:
    named = os.environ.get("AGENTBENCH_ROOT")
    if not named:
        pytest.skip("AGENTBENCH_ROOT names no clone of AgentBench or its data folder")
    return Path(named)


def as_a_process(doc: dict[str, Any]) -> dict[str, Any]:
    """The document with its solution run as check scripts run it: in no login shell."""
    if doc["start"] is not None or doc["example"] is None:
        return doc
    code = shlex.quote(doc["example"]["code"])
    return doc | {
        "example": {
            "code": f"env -i HOME=/root PATH={PATH} bash -c {code} 2>/dev/null",
        }
    }


@pytest.mark.slow
def test_reference_solutions_solve_the_real_problems(
    real_root: Path, own_boxes: dict[str, str]
) -> None:
    task = load(real_root, samples="0-143", **own_boxes)
    assert len(task.eval_docs) == 144
    lm = Oracle(solve([as_a_process(doc) for doc in task.eval_docs]))
    results = outcomes(run_task(lm, task))
    # Three install packages and two name a file that is not there; the rest compare figures that
    # change while they run: of processes and of free memory.
    assert sum(outcome["correct"] for outcome in results) >= 134


@pytest.mark.slow
@pytest.mark.parametrize("reply", ["", "Act: finish"])
def test_a_model_that_does_nothing_solves_no_real_problem(
    real_root: Path, own_boxes: dict[str, str], reply: str
) -> None:
    task = load(real_root, protocol="released", **own_boxes)
    assert len(task.eval_docs) == 170
    assert run_task(Oracle(lambda chat: reply), task)["acc,none"] == 0.0
