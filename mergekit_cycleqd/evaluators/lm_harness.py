"""Scoring by lm-evaluation-harness: tasks and requests built once, samples fixed by id."""

from __future__ import annotations

import difflib
import json
import logging
import math
from collections.abc import Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.evaluators.harness import Harness
from mergekit_cycleqd.evaluators.partial import Watch
from mergekit_cycleqd.floors import Floors
from mergekit_cycleqd.recipe import Task, nearest
from mergekit_cycleqd.records import Split


class LMHarness(Harness):
    """The tasks of a recipe as lm-eval task objects.

    lm-eval's own `evaluate` does the scoring, so that a score here is the score that
    `lm_eval` prints for the same samples; the requests of a split are built for the first genome
    and used again for every other.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Load every task and check metric and sample ids, without any model.

        Args:
            tasks: The recipe's tasks.

        Raises:
            RecipeError: With one line per fault, each with the path to its key.
        """
        self._tasks = tuple(tasks)
        faults: list[str] = []
        self._ids: dict[Split, dict[str, list[int]]] = {"search": {}, "holdout": {}}
        self._objects: dict[Split, dict[str, Any]] = {"search": {}, "holdout": {}}
        self._built: set[tuple[str, Split]] = set()
        loader = _TaskLoader(self._tasks)
        for i, task in enumerate(self._tasks):
            try:
                self._prepare(task, loader)
            except _Fault as fault:
                faults.append(f"tasks[{i}].{fault}")
        if faults:
            raise RecipeError(faults)

    def _prepare(self, task: Task, loader: _TaskLoader) -> None:
        loaded = loader.load(task)
        _check_metric(task, loaded)
        if getattr(loaded, "UNSAFE_CODE", False) and not task.confirm_run_unsafe_code:
            raise _Fault(
                f"confirm_run_unsafe_code: the task {task.task!r} runs code that models write; "
                "set it to true if you accept that"
            )
        documents = len(loaded.eval_docs)
        for split in ("search", "holdout"):
            ids = task.samples.search if split == "search" else task.samples.holdout
            if ids is None:
                continue
            try:
                self._ids[split][task.name] = ids.resolve(documents)
            except ValueError as error:
                raise _Fault(f"samples.{split}: {error}") from None
            self._objects[split][task.name] = loaded if split == "search" else loader.load(task)

    def sizes(self, split: Split) -> dict[str, int]:
        """How many samples each task has in a split; tasks without any are left out."""
        return {name: len(ids) for name, ids in self._ids[split].items()}

    def evaluate(self, model: Any, split: Split, floors: Floors | None = None) -> dict[str, float]:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        Floors are looked at after every batch of lm-eval's own tasks.
        """
        from lm_eval.evaluator import evaluate

        tasks = [task for task in self._tasks if task.name in self._objects[split]]
        objects = {task.name: self._ready(task, model, split) for task in tasks}
        watch = Watch(floors, self._tasks)
        with watch.over(model, objects):
            results = evaluate(
                model,
                {"tasks": objects},
                samples={task.name: self._ids[split][task.name] for task in tasks},
                bootstrap_iters=0,
                log_samples=False,
                confirm_run_unsafe_code=True,  # _prepare: by the task's own setting
            )["results"]
        return {task.name: _number(task, results[task.name]) for task in tasks}

    def _ready(self, task: Task, model: Any, split: Split) -> Any:
        """A task whose requests are there, without answers.

        Its own settings render them, so that tasks of other settings still share its batches.
        """
        loaded = self._objects[split][task.name]
        if (task.name, split) not in self._built:
            _build_requests(loaded, task, self._ids[split][task.name], model)
            self._built.add((task.name, split))
        for request in loaded.instances:
            request.resps.clear()
            request.filtered_resps.clear()
        return loaded


def _number(task: Task, results: Mapping[str, Any]) -> float:
    value = results.get(task.metric)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise CycleQDError(f"task {task.name!r} reports {value!r} as {task.metric}")
    return float(value)


class _Fault(Exception):
    """A line about one task: the key within it, and what is wrong."""


class _TaskLoader:
    """lm-eval's task indices, built once; its own tasks are indexed only where one is named."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        for name in ("lm_eval.tasks", "lm_eval.api.task", "lm_eval.evaluator"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._paths = sorted({path for task in tasks if (path := _folder(task))})
        self._managers: dict[tuple[bool, str], Any] = {}

    def _manager(self, task: Task, *, defaults: bool) -> Any:
        """The index with or without lm-eval's own tasks, for a task's metadata."""
        from lm_eval.tasks import TaskManager

        key = (defaults, json.dumps(task.metadata, sort_keys=True, default=str))
        if key not in self._managers:
            self._managers[key] = TaskManager(
                include_path=self._paths, include_defaults=defaults, metadata=task.metadata
            )
        return self._managers[key]

    def load(self, task: Task) -> Any:
        """A new lm-eval task object with the recipe's settings in it."""
        if task.include_path and not Path(task.include_path).is_dir():
            raise _Fault(f"include_path: no folder {task.include_path!r}")
        manager = self._manager(task, defaults=False)
        if task.task not in manager.all_subtasks and task.evaluator == "lm_eval":
            manager = self._manager(task, defaults=True)
        if task.task not in manager.all_subtasks:
            raise _Fault(f"task: {_unknown(task, manager)}")
        try:
            (loaded,) = manager.load([task.task])["tasks"].values()
        except CycleQDError as error:  # our own tasks say what they need
            reason = "; ".join(str(error).splitlines())
            raise _Fault(f"task: {task.task!r} cannot be loaded: {reason}") from error
        except Exception as error:
            reason = next((line for line in str(error).splitlines() if line.strip()), "")
            raise _Fault(
                f"task: {task.task!r} cannot be loaded ({type(error).__name__}: {reason[:200]})"
            ) from error
        if task.gen_kwargs is not None:
            if loaded.get_config("output_type") != "generate_until":
                raise _Fault(f"gen_kwargs: the task {task.task!r} does not generate text")
            loaded.set_config(key="generation_kwargs", value=dict(task.gen_kwargs), update=True)
        if task.num_fewshot is not None:
            loaded.set_config(key="num_fewshot", value=task.num_fewshot)
        elif loaded.get_config("num_fewshot") is None:
            loaded.set_config(key="num_fewshot", value=0)
        loaded.set_fewshot_seed(seed=1234)  # as lm-eval's own command does
        return loaded


def _folder(task: Task) -> str | None:
    """Where a task's file may lie besides lm-eval's own."""
    if task.evaluator == "agentbench":
        from mergekit_cycleqd.evaluators.episode_task import evals_folder

        return str(evals_folder())
    return task.include_path


def _unknown(task: Task, manager: Any) -> str:
    name = task.task
    if task.evaluator == "agentbench":
        return f"no task {name!r} for evaluator agentbench{nearest(name, manager.all_subtasks)}"
    if name in manager.all_groups or name in manager.all_tags:
        return f"{name!r} is a group of tasks; name one of its tasks"
    near = difflib.get_close_matches(name, manager.all_subtasks, n=3)
    hint = f"; did you mean {' or '.join(near)}?" if near else ""
    return f"lm-eval knows no task {name!r}{hint}; for your own tasks set include_path"


def _check_metric(task: Task, loaded: Any) -> None:
    filters = [pipeline.name for pipeline in loaded._filters]
    metrics: Mapping[str, Any] = loaded.aggregation()
    reported = [f"{metric},{name}" for metric in metrics for name in filters]
    if task.metric not in reported:
        raise _Fault(
            f"metric: the task {task.task!r} does not report {task.metric!r}; "
            f"it reports {', '.join(reported)}"
        )
    higher = loaded.higher_is_better().get(task.metric.partition(",")[0])
    if higher is False:
        raise _Fault(f"metric: {task.metric!r} is better when lower; quality must be maximised")


def _build_requests(loaded: Any, task: Task, ids: list[int], model: Any) -> None:
    """Render the requests of a task as lm-eval's `evaluate` does, which will only find them."""
    chat = bool(task.apply_chat_template)
    loaded.build_all_requests(
        samples=ids,
        rank=model.rank,
        world_size=model.world_size,
        system_instruction=task.system_instruction,
        apply_chat_template=chat,
        fewshot_as_multiturn=task.fewshot_as_multiturn,
        chat_template=model.apply_chat_template if chat else None,
        tokenizer_name=model.tokenizer_name if chat else "",
    )
    documents = list(loaded.doc_iterator(rank=model.rank, world_size=model.world_size, samples=ids))
    loaded.build_all_requests = lambda **_: None
    loaded.doc_iterator = lambda **_: ((i, copy(doc)) for i, doc in documents)
