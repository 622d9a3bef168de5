"""Lines of runs with many tasks: lists in the order of the tasks, without their names.

A line of twenty tasks would be a quarter longer with names, and one with scores of samples a half.
Of few tasks a line names each, which is easier to read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import JournalError

VERSION = 3
"""Of a journal whose lines may have such lists."""

NAMED = 10
"""Up to so many tasks are named in every line."""

_KEYS = ("scores", "bounds", "samples", "finds")


def tasks_in(header: Mapping[str, Any], path: Path) -> tuple[str, ...]:
    """Names of the tasks in the order of the lists; none if the journal's lines name them.

    Args:
        header: Of the run's journal.
        path: Of the journal, for the message.

    Raises:
        JournalError: If the header names no tasks.
    """
    if header.get("version") != VERSION:
        return ()
    try:
        return tuple(str(task["name"]) for task in header["recipe"]["tasks"])
    except (TypeError, KeyError):
        raise JournalError(f"{path}: line 1 is damaged: its recipe names no tasks") from None


def are_many(header: Mapping[str, Any]) -> bool:
    """Whether a new run has so many tasks that its lines need not name them."""
    return len(header["recipe"].get("tasks", ())) > NAMED


def listed(content: dict[str, Any], tasks: Sequence[str]) -> dict[str, Any]:
    """Write what is known of each task, and of nothing else, as a list."""
    return {
        key: list(value.values())
        if key in _KEYS and value is not None and tuple(value) == tasks
        else value
        for key, value in content.items()
    }


def named(content: dict[str, Any], tasks: Sequence[str]) -> dict[str, Any]:
    """Read what `listed` wrote.

    Raises:
        JournalError: If a list is not as long as that of the tasks.
    """
    for key in _KEYS:
        if isinstance(values := content.get(key), list):
            if len(values) != len(tasks):
                raise JournalError(f"its {key} are of {len(values)} tasks, and not of {len(tasks)}")
            content[key] = dict(zip(tasks, values, strict=True))
    return content
