"""Find and load the lm-eval tasks that a recipe names."""

from __future__ import annotations

import difflib
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import CycleQDError, nearest, reason
from mergekit_cycleqd.evaluators.task_errors import RAISED
from mergekit_cycleqd.evaluators.task_samples import TaskFault
from mergekit_cycleqd.recipe.tasks import Task

FEWSHOT_SEED = 1234  # the default of lm-eval's own command


class TaskLoader:
    """Loads lm-eval tasks. Indexes once, with lm-eval's own tasks only if one is named."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Quieten lm-eval, and look for nothing yet.

        Args:
            tasks: The recipe's tasks that lm-eval runs.
        """
        for name in ("lm_eval.tasks", "lm_eval.api.task", "lm_eval.evaluator"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._paths = sorted({path for task in tasks if (path := _task_folder(task))})
        self._managers: dict[tuple[bool, str], Any] = {}

    def _manager(self, task: Task, *, defaults: bool) -> Any:
        """Get the index for a task's metadata, with or without lm-eval's own tasks."""
        from lm_eval.tasks import TaskManager

        key = (defaults, json.dumps(task.metadata, sort_keys=True, default=str))
        if key not in self._managers:
            self._managers[key] = TaskManager(
                include_path=self._paths, include_defaults=defaults, metadata=task.metadata
            )
        return self._managers[key]

    def load(self, task: Task) -> Any:
        """Make a new lm-eval task object with the recipe's settings.

        Raises:
            TaskFault: If there is no such task, or it cannot be loaded.
        """
        if task.include_path and not Path(task.include_path).is_dir():
            raise TaskFault(f"include_path: no folder {task.include_path!r}")
        manager = self._manager(task, defaults=False)
        if task.task not in manager.all_subtasks and not task.scored_by.brings_tasks:
            manager = self._manager(task, defaults=True)
        if task.task not in manager.all_subtasks:
            raise TaskFault(f"task: {_unknown_task(task, manager)}")
        try:
            (loaded,) = manager.load([task.task])["tasks"].values()
        except CycleQDError as error:  # this package's tasks report clear faults
            raise TaskFault(f"task: {task.task!r} cannot be loaded: {reason(error)}") from error
        except RAISED as error:
            raise TaskFault(f"task: {task.task!r} cannot be loaded ({reason(error)})") from error
        if task.gen_kwargs is not None:
            if loaded.get_config("output_type") != "generate_until":
                raise TaskFault(f"gen_kwargs: the task {task.task!r} does not generate text")
            loaded.set_config(key="generation_kwargs", value=dict(task.gen_kwargs), update=True)
        if task.num_fewshot is not None:
            loaded.set_config(key="num_fewshot", value=task.num_fewshot)
        elif loaded.get_config("num_fewshot") is None:
            loaded.set_config(key="num_fewshot", value=0)
        loaded.set_fewshot_seed(seed=FEWSHOT_SEED)
        return loaded


def _task_folder(task: Task) -> str | None:
    """Find the folder with a task's file; None for tasks that lm-eval brings."""
    if task.scored_by.brings_tasks:
        from mergekit_cycleqd.tasks.episode_task import evals_folder

        return str(evals_folder())
    return task.include_path


def _unknown_task(task: Task, manager: Any) -> str:
    name = task.task
    if task.scored_by.brings_tasks:
        return (
            f"no task {name!r} for evaluator {task.evaluator}{nearest(name, manager.all_subtasks)}"
        )
    if name in manager.all_groups or name in manager.all_tags:
        return f"{name!r} is a group of tasks; name one of its tasks"
    near = difflib.get_close_matches(name, manager.all_subtasks, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"lm-eval knows no task {name!r}{hint}; for your own tasks set include_path"
