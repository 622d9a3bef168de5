"""Find and load the lm-eval tasks that a recipe names."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import CycleQDError, nearest, reason
from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.evaluators.quiet_lm_eval import quieten_lm_eval
from mergekit_cycleqd.evaluators.task_data import data_beside, folders_of
from mergekit_cycleqd.evaluators.task_errors import RAISED
from mergekit_cycleqd.evaluators.task_guards import guard_templates, guarded_loading
from mergekit_cycleqd.evaluators.task_samples import TaskFault
from mergekit_cycleqd.recipe.tasks import Task

FEWSHOT_SEED = 1234  # the default of lm-eval's own command


class TaskLoader:
    """Loads lm-eval tasks, each from its own folder, or else from lm-eval's own tasks."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Quieten lm-eval, and look for nothing yet.

        Args:
            tasks: The recipe's tasks that lm-eval runs.
        """
        quieten_lm_eval()
        guard_templates()
        self._folders = sorted({folder for task in tasks if (folder := _task_folder(task))})
        self._without_shots: set[str] = set()
        self._indexes: dict[tuple[str | None, str], tuple[Any, list[str]]] = {}

    def load(self, task: Task) -> LoadedTask:
        """Make new objects of a task or a group of lm-eval, with the recipe's settings.

        Raises:
            TaskFault: If there is no such task, or it cannot be loaded.
        """
        if task.include_path and not Path(task.include_path).is_dir():
            raise TaskFault(f"include_path: no folder {task.include_path!r}")
        index = self._find(task)
        entry = index.task_index[task.task]
        if entry_is_group := task.task in index.all_groups:
            index = self._with_children(task)
        try:
            beside = data_beside(folders_of(entry.yaml_path, index.include_path))
            trusted = task.confirm_run_unsafe_code
            with beside, guarded_loading(entry.yaml_path, trusted=trusted):
                found = index.load([task.task])
        except CycleQDError as error:  # this package's tasks report clear faults
            raise TaskFault(f"task: {task.task!r} cannot be loaded: {reason(error)}") from error
        except RAISED as error:
            raise TaskFault(f"task: {task.task!r} cannot be loaded ({reason(error)})") from error
        if not entry_is_group:
            (loaded,) = found["tasks"].values()
            self._set_up(loaded, task)
            return LoadedTask({task.name: loaded})
        group = found["groups"][task.task]
        if not group.has_aggregation:
            members = ", ".join(found["tasks"])
            has = "has no score; name its tasks"
            raise TaskFault(f"task: the group {task.task!r} {has}: {members}")
        parts = {f"{task.name}/{part.task_name}": part for part in group.get_all_tasks()}
        for part in parts.values():
            self._set_up(part, task)
        return LoadedTask(parts, group, task.samples.by)

    def _set_up(self, loaded: Any, task: Task) -> None:
        """Give a task object of lm-eval the recipe's settings."""
        if task.gen_kwargs is not None:
            if loaded.get_config("output_type") != "generate_until":
                raise TaskFault(f"gen_kwargs: the task {task.task!r} does not generate text")
            loaded.set_config(key="generation_kwargs", value=dict(task.gen_kwargs), update=True)
        fixed = loaded.get_config("num_fewshot")
        if fixed == 0 and task.num_fewshot:
            self._without_shots.add(task.name)  # as in lm-eval's own command
        elif task.num_fewshot is not None:
            loaded.set_config(key="num_fewshot", value=task.num_fewshot)
        elif fixed is None:
            loaded.set_config(key="num_fewshot", value=0)
        loaded.set_fewshot_seed(seed=FEWSHOT_SEED)

    def warnings(self, task: Task) -> Iterator[str]:
        """Say what of a loaded task is passed over, as lm-eval does.

        These are files of tasks that stand twice in a folder, and examples where a task has none.
        """
        if task.name in self._without_shots:
            yield (
                f"num_fewshot: {task.num_fewshot} is passed over, as lm-eval does: the task "
                f"{task.task!r} fixes 0"
            )
        _, said = self._index(_task_folder(task), task)
        for words in said:
            if f"'{task.task}'" in words:
                yield f"task: {words}"

    def changes(self, task: Task) -> Iterator[str]:
        """Say what earlier versions did otherwise with a loaded task.

        They looked in the folders of all tasks, and took the last one that had the name. They made
        examples for tasks that fix none.
        """
        now = _file(self._find(task), task)
        folders = [each for each in self._folders if self._has(each, task)]
        before = _file(self._index(folders[-1] if folders else None, task)[0], task)
        if before != now:
            yield f"task: {task.task!r} was read from {before}"
        if task.name in self._without_shots and not task.scored_by.brings_tasks:
            yield (
                f"num_fewshot: {task.num_fewshot} examples were shown, though the task "
                f"{task.task!r} fixes 0,"
            )

    def _find(self, task: Task) -> Any:
        """Get the index that has a task: of its folder, of lm-eval, or of another task's folder."""
        own = _task_folder(task)
        if own and self._has(own, task):
            return self._index(own, task)[0]
        if task.scored_by.brings_tasks:
            raise TaskFault(f"task: {self._unknown(task)}")
        if self._has(None, task):
            return self._index(None, task)[0]
        others = [folder for folder in self._folders if self._has(folder, task)]
        if len(others) > 1:
            raise TaskFault(
                f"task: {task.task!r} is in {' and in '.join(others)}; choose one by include_path"
            )
        if not others:
            raise TaskFault(f"task: {self._unknown(task)}")
        return self._index(others[0], task)[0]

    def _has(self, folder: str | None, task: Task) -> bool:
        index = self._index(folder, task)[0]
        return task.task in index.all_subtasks or task.task in index.all_groups

    def _with_children(self, task: Task) -> Any:
        """Get the index of a group, in which also lm-eval's own tasks are where it needs them."""
        own = _task_folder(task)
        if own is None or task.scored_by.brings_tasks or not self._has(own, task):
            return self._find(task)
        if _holds_children(ours := self._index(own, task)[0], task.task):
            return ours
        return self._index(own, task, defaults=True)[0]

    def _index(
        self, folder: str | None, task: Task, *, defaults: bool = False
    ) -> tuple[Any, list[str]]:
        """Index a folder for a task's metadata, or lm-eval's own tasks; with lm-eval's warnings."""
        from mergekit_cycleqd.evaluators import lm_eval_index  # which needs lm-eval

        if folder is None and not task.metadata:
            return lm_eval_index.own_index()
        written = json.dumps(task.metadata, sort_keys=True, default=str)
        key = (folder, f"{written} and lm-eval's" if defaults else written)
        if key not in self._indexes:
            self._indexes[key] = lm_eval_index.indexed(
                folder, defaults or folder is None, task.metadata
            )
        return self._indexes[key]

    def _unknown(self, task: Task) -> str:
        """Say that there is no such task, and what is near."""
        name = task.task
        if task.scored_by.brings_tasks:
            known = self._index(_task_folder(task), task)[0].all_subtasks
            return f"no task {name!r} for evaluator {task.evaluator}{nearest(name, known)}"
        indexes = [self._index(folder, task)[0] for folder in (*self._folders, None)]
        if any(name in index.all_tags for index in indexes):
            return f"{name!r} is but a tag of tasks; name one of them, or a group with a score"
        known = [known for index in indexes for known in index.all_subtasks]
        near = difflib.get_close_matches(name, known, n=3)
        hint = f"; did you mean {' or '.join(dict.fromkeys(near))}?" if near else ""
        return f"lm-eval knows no task {name!r}{hint}; for your own tasks set include_path"


def _holds_children(index: Any, group: str) -> bool:
    """Whether all members of a group are tasks or groups of the same index, as far as is plain."""
    waiting, seen = [group], set[str]()
    while waiting:
        seen.add(name := waiting.pop())
        members = (index.task_index[name].cfg or {}).get("task")
        for member in members if isinstance(members, list) else [None]:
            child = member.get("task") if isinstance(member, dict) else member
            if not isinstance(child, str):
                return False
            if child in index.all_groups and child not in seen:
                waiting.append(child)
            elif child not in index.all_subtasks:
                return False
    return True


def _task_folder(task: Task) -> str | None:
    """Find the folder with a task's file; None for tasks that lm-eval brings."""
    if task.scored_by.brings_tasks:
        from mergekit_cycleqd.tasks.episode_task import evals_folder

        return str(evals_folder())
    return task.include_path


def _file(index: Any, task: Task) -> str:
    return str(index.task_index[task.task].yaml_path)
