"""Runs episodes of the OS task for tests, and reads what came of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from lm_eval.tasks import TaskManager

from mergekit_cycleqd.tasks.episode_task import evals_folder
from tests.support.box_records import FIRST_TURN
from tests.support.oracles import Chat, Oracle, run_task


def load(root: Path, **options: Any) -> Any:
    manager = TaskManager(
        include_path=str(evals_folder()),
        include_defaults=False,
        metadata={"agentbench_root": str(root), **options},
    )
    return manager.load(["agentbench_os"])["tasks"]["agentbench_os"]


def outcomes(results: dict[str, Any]) -> list[dict[str, Any]]:
    """What came of every document, in order."""
    samples = sorted(results["samples"], key=lambda sample: sample["doc_id"])
    return [json.loads(sample["resps"][0][0]) for sample in samples]


def run_one(task: Any, *replies: str) -> dict[str, Any]:
    """Let a model that says `replies` in turn, and then the last one for ever, do one document."""

    def answer(chat: Chat) -> str:
        said = sum(message["role"] == "assistant" for message in chat[FIRST_TURN:])
        return replies[min(said, len(replies) - 1)]

    (outcome,) = outcomes(run_task(Oracle(answer), task, limit=1))
    return outcome


def observed(outcome: dict[str, Any]) -> list[str]:
    """What the model read after each of its replies."""
    return [m["content"] for m in outcome["transcript"][FIRST_TURN:] if m["role"] == "user"]
