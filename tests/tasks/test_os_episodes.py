"""What a model may do in its box, and how its episodes end."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import Any

import pytest
from lm_eval.tasks import TaskManager

from mergekit_cycleqd.sandbox.base import Limits
from mergekit_cycleqd.tasks.agentbench_os.task import AgentBenchOS
from mergekit_cycleqd.tasks.episode_task import evals_folder
from tests.support.box_records import act, bash, write_os_problem, write_os_problems
from tests.support.oracles import Chat, Oracle, run_task
from tests.support.os_episodes import load, observed, outcomes, run_one

pytest_plugins = ("tests.support.boxes", "tests.support.box_fixtures")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_os_problems(tmp_path_factory.mktemp("agentbench"))


def children() -> set[int]:
    """The processes that this one started and that still run."""
    tasks = Path("/proc/self/task").iterdir()
    return {int(pid) for task in tasks for pid in (task / "children").read_text().split()}


def test_commands_share_a_shell_and_the_user_that_start_became(
    root: Path, boxes: dict[str, str]
) -> None:
    task = load(root, **boxes, samples="2")
    outcome = run_one(
        task,
        bash("whoami; mkdir inner; cd inner; word=kept"),
        bash("pwd; echo $word"),
        act("answer(nothing)"),
    )
    assert observed(outcome) == [
        "The output of the OS:\n\njack",
        "The output of the OS:\n\n/home/jack/inner\nkept",
    ]


def test_a_transcript_holds_every_turn_and_the_answer(root: Path, boxes: dict[str, str]) -> None:
    outcome = run_one(load(root, **boxes), bash("true"), act("answer(4)"))
    assert outcome["transcript"][-3:] == [
        {"role": "assistant", "content": bash("true")},
        {"role": "user", "content": "The output of the OS is empty."},
        {"role": "assistant", "content": act("answer(4)")},
    ]
    assert (outcome["turns"], outcome["correct"]) == (2, False)
    assert outcome["details"] == {"answer": "4", "judge": "check 1 exited with 1"}


@pytest.mark.parametrize(("protocol", "rounds"), [("v0.2", 8), ("released", 5)])
def test_rounds_are_limited(
    root: Path, own_boxes: dict[str, str], protocol: str, rounds: int
) -> None:
    outcome = run_one(load(root, **own_boxes, protocol=protocol), bash("true"))
    assert (outcome["status"], outcome["turns"], outcome["correct"]) == ("limit", rounds, False)


def test_max_rounds_changes_the_limit(root: Path, own_boxes: dict[str, str]) -> None:
    outcome = run_one(load(root, **own_boxes, max_rounds=2), bash("true"))
    assert (outcome["status"], outcome["turns"]) == ("limit", 2)


@pytest.mark.parametrize(("protocol", "correct"), [("v0.2", False), ("released", True)])
@pytest.mark.parametrize("last", [bash("true"), "I have done it."])
def test_only_the_released_protocol_judges_what_was_left_unanswered(
    root: Path, own_boxes: dict[str, str], protocol: str, correct: bool, last: str
) -> None:
    task = load(root, **own_boxes, protocol=protocol, max_rounds=2, samples="3")
    outcome = run_one(task, bash(task.eval_docs[0]["example"]["code"]), last)
    assert outcome["status"] == ("limit" if "bash" in last else "invalid action")
    assert outcome["correct"] is correct


def test_an_invalid_action_ends_the_episode_as_a_failure(
    root: Path, own_boxes: dict[str, str]
) -> None:
    outcome = run_one(load(root, **own_boxes), "I would rather not.")
    assert (outcome["status"], outcome["turns"]) == ("invalid action", 1)
    assert outcome["correct"] is False


@pytest.mark.parametrize(
    "commands",
    ["exit", "kill -9 $$", "kill -9 -1", "exec true", "kill -9 1; kill -9 $$", "cat <<'X", "'"],
)
def test_a_model_may_lose_its_shell_and_get_another(
    root: Path, boxes: dict[str, str], commands: str
) -> None:
    outcome = run_one(load(root, **boxes), bash(commands), bash("echo again"), act("answer(5)"))
    assert observed(outcome)[1] == "The output of the OS:\n\nagain"
    assert outcome["correct"] is True
    assert "attempts" not in outcome


@pytest.mark.parametrize(
    "reply",
    [
        bash("printf 'a\\0b\\377c'; printf '\\303'"),
        bash("echo 'a\0b'"),
        bash("head -c 3000000 /dev/zero | tr '\\0' x"),
        bash("echo '\udcff \U0001f989'"),
        bash("rm -rf --no-preserve-root / 2>/dev/null"),
        bash("bomb() { bomb | bomb & }; bomb"),
        bash("head -c 2000000000 /dev/zero > /root/big; ls /root"),
        bash("python3 -c 'x = bytearray(8 << 30)'"),
    ],
)
def test_whatever_a_model_does_in_its_box_is_no_fault_of_the_machinery(
    root: Path, own_boxes: dict[str, str], reply: str
) -> None:
    outcome = run_one(load(root, **own_boxes), reply, act("answer(a\0b\udcff)"))
    assert (outcome["status"], outcome["correct"]) == ("completed", False)
    assert "attempts" not in outcome
    assert len(observed(outcome)[0]) < 900


def test_a_command_that_does_not_end_is_stopped_and_the_episode_goes_on(
    root: Path, boxes: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(AgentBenchOS, "limits", Limits(seconds=1))
    outcome = run_one(
        load(root, **boxes), bash("echo begun; sleep 600"), bash("echo again"), act("answer(5)")
    )
    assert observed(outcome) == [
        "The output of the OS:\n\nbegun\n[stopped: it did not end in time]",
        "The output of the OS:\n\nagain",
    ]
    assert outcome["correct"] is True


def test_a_box_that_breaks_costs_an_attempt_and_no_score(
    root: Path, own_boxes: dict[str, str]
) -> None:
    if own_boxes["backend"] != "bubblewrap":
        pytest.skip("only bubblewrap's own_boxes are processes of ours")
    others = children()
    killed: list[int] = []

    def answer(chat: Chat) -> str:
        if not killed:
            killed.extend(children() - others)
            for pid in killed:
                os.kill(pid, signal.SIGKILL)
        return act("answer(5)")

    (outcome,) = outcomes(run_task(Oracle(answer), load(root, **own_boxes), limit=1))
    assert killed
    assert (outcome["correct"], outcome["attempts"]) == (True, 2)


def test_an_answer_too_long_for_a_script_is_wrong(root: Path, own_boxes: dict[str, str]) -> None:
    outcome = run_one(load(root, **own_boxes), act(f"answer({'5' * 200_000})"))
    assert outcome["correct"] is False
    assert "cannot be given the answer" in outcome["details"]["judge"]


def test_an_init_script_that_fails_is_noted(tmp_path: Path, own_boxes: dict[str, str]) -> None:
    path = write_os_problem(
        tmp_path, create={"init": ["true", "echo why >&2; exit 3"]}, evaluation={"match": "yes"}
    )
    manager = TaskManager(
        include_path=str(evals_folder()),
        include_defaults=False,
        metadata={"data_files": str(path), **own_boxes},
    )
    task = manager.load(["agentbench_os"])["tasks"]["agentbench_os"]
    outcome = run_one(task, act("answer(yes)"))
    assert outcome["details"]["init"] == ["script 1 exited with 3: why"]
    assert outcome["correct"] is True


@pytest.mark.parametrize(
    ("evaluation", "last", "correct"),
    [
        ({"check": 'test "$0" = -- -a "$1" = None'}, "finish", True),
        ({"check": 'test "$1" = ""'}, "finish", False),
        ({"check": 'test "$1" = ""'}, "answer()", True),
        ({"match": {"regex": ".*"}}, "finish", False),
        ({"match": ""}, "finish", False),
        ({"match": "None"}, "finish", False),
        ({"match": {"regex": ".*"}}, "answer()", True),
        # AgentBench reads a script's output and errors as one
        ({"check": ["echo 5 >&2", 'test "$2" = ""']}, "answer(5)", False),
        ({"check": ["echo 5 >&2", 'echo "$1" | cmp - <(printf %s "$2")']}, "answer(5)", True),
    ],
)
def test_finish_and_check_scripts_are_judged_as_in_agentbench(
    tmp_path: Path, own_boxes: dict[str, str], evaluation: dict[str, Any], last: str, correct: bool
) -> None:
    path = write_os_problem(tmp_path, evaluation=evaluation)
    manager = TaskManager(
        include_path=str(evals_folder()),
        include_defaults=False,
        metadata={"data_files": str(path), **own_boxes},
    )
    task = manager.load(["agentbench_os"])["tasks"]["agentbench_os"]
    assert run_one(task, act(last))["correct"] is correct
