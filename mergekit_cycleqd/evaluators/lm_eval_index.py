"""Indexes of lm-eval's task files. Its own 14,000 files take seconds: they are read once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from lm_eval.tasks import TaskManager
from lm_eval.tasks._index import Kind

from mergekit_cycleqd.evaluators.quiet_lm_eval import heard

_INDEX = "lm_eval.tasks._index"


def indexed(
    folders: str | Sequence[str] | None, defaults: bool, metadata: Mapping[str, Any] | None
) -> tuple[TaskManager, list[str]]:
    """Index folders with task files.

    Args:
        folders: The folders, if any.
        defaults: Whether to have lm-eval's own tasks too; those of the folders come before them.
        metadata: What lm-eval gives to all tasks that are loaded from the index.

    Returns:
        lm-eval's manager of the tasks, and its warnings about files.
    """
    with heard(_INDEX) as said:
        index = TaskManager(include_path=folders, include_defaults=False, metadata=metadata)
    return (index, [*own_index()[1], *said, *_add_own(index)]) if defaults else (index, said)


@cache
def own_index() -> tuple[TaskManager, list[str]]:
    """Index lm-eval's own tasks, once in a process."""
    with heard(_INDEX) as said:
        index = TaskManager()
    return index, said


def _add_own(index: TaskManager) -> list[str]:
    """Add lm-eval's own tasks to an index of folders, and warn as lm-eval does of equal names."""
    own, of_folders = own_index()[0].task_index, index.task_index
    index._index = found = own | of_folders

    def named(*kinds: Kind) -> list[str]:
        return sorted(name for name, entry in found.items() if entry.kind in kinds)

    index._all_tasks = sorted(found)
    index._all_subtasks = named(Kind.TASK, Kind.PY_TASK)
    index._all_groups = named(Kind.GROUP)
    index._all_tags = named(Kind.TAG)
    return [
        f"Task '{name}' from {entry.yaml_path} overrides existing task from {own[name].yaml_path}"
        for name, entry in of_folders.items()
        if name in own
    ]
