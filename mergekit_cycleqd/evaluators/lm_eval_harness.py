"""Score models by lm-evaluation-harness: tasks and requests built once, samples fixed by id."""

from __future__ import annotations

import difflib
import json
import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from pathlib import Path
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import CycleQDError, first_line, nearest
from mergekit_cycleqd.evaluators.image_tasks import image_fault
from mergekit_cycleqd.evaluators.lm_eval_bounds import Watch
from mergekit_cycleqd.evaluators.task_samples import SampledHarness, TaskFault, prepare_all
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.search.early_stop import EntryThresholds

FEWSHOT_SEED = 1234  # the default of lm-eval's own command


class LMHarness(SampledHarness):
    """The tasks of a recipe as lm-eval task objects.

    lm-eval's own `evaluate` computes the scores: they are those that `lm_eval` prints for the same
    samples. The requests of a split are built for the first genome and reused for all others.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Load every task, and check its metric and sample ids, without a model.

        Args:
            tasks: The recipe's tasks.

        Raises:
            RecipeError: With one line per fault, each with the path to its key.
        """
        super().__init__(tasks)
        self._objects: dict[Split, dict[str, Any]] = {"search": {}, "holdout": {}}
        self._fresh: dict[str, Any] = {}
        self._built: dict[tuple[str, Split, int], Any] = {}
        loader = _TaskLoader(tasks)
        prepare_all(tasks, lambda task: self._prepare(task, loader))
        loaded = self._objects["search"]
        self.steady = frozenset(t.name for t in tasks if _is_steady(t, loaded[t.name]))

    def _prepare(self, task: Task, loader: _TaskLoader) -> Iterator[str]:
        loaded = loader.load(task)
        yield from _metric_faults(task, loaded)
        if getattr(loaded, "UNSAFE_CODE", False) and not task.confirm_run_unsafe_code:
            yield (
                f"confirm_run_unsafe_code: the task {task.task!r} runs code that models write; "
                "set it to true if you accept that"
            )
        documents = len(loaded.eval_docs)
        yield from self._samples.add(task, lambda ids: ids.resolve(documents))
        self._objects["search"][task.name] = loaded
        if task.samples.holdout is not None:
            self._objects["holdout"][task.name] = loader.load(task)
        if task.samples.again is not None:
            self._fresh[task.name] = copy(loaded)  # copied before it has requests

    def base_fault(self, task: str, engine: Engine, base: Checkpoint) -> str:
        """Say why a task that shows images cannot be scored: see `Harness.base_fault`."""
        return image_fault(self._objects["search"][task], engine, base)

    def evaluate(
        self, model: Any, split: Split, thresholds: EntryThresholds | None = None, repeat: int = 0
    ) -> dict[str, float]:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        The thresholds are checked after every batch of lm-eval's own tasks.
        """
        from lm_eval.evaluator import evaluate

        tasks = [task for task in self._tasks.values() if task.name in self._objects[split]]
        ids = {task.name: self._samples.of(task.name, split, repeat) for task in tasks}
        objects = {
            task.name: self._ready(task, model, split, ids[task.name], repeat) for task in tasks
        }
        watch = Watch(thresholds, list(self._tasks.values()))
        with watch.over(model, objects):
            results = evaluate(
                model,
                {"tasks": objects},
                samples=ids,
                bootstrap_iters=0,
                log_samples=False,
                confirm_run_unsafe_code=True,  # `_prepare` has checked each task's own setting
            )["results"]
        return {task.name: _task_score(task, results[task.name]) for task in tasks}

    def _ready(self, task: Task, model: Any, split: Split, ids: Sequence[int], repeat: int) -> Any:
        """Return a task object with all requests and no answers.

        The requests are rendered with the task's own settings. lm-eval then puts tasks of different
        settings into the same batches.
        """
        key = (task.name, split, ids[0])  # blocks of samples do not overlap
        if key not in self._built:
            first = ids is self._samples.of(task.name, split)
            loaded = self._objects[split][task.name] if first else copy(self._fresh[task.name])
            loaded.set_fewshot_seed(seed=FEWSHOT_SEED)  # tasks built before have no effect
            _build_requests(loaded, task, ids, model)
            self._built[key] = loaded
        loaded = self._built[key]
        for request in loaded.instances:
            request.resps.clear()
            request.filtered_resps.clear()
        if _is_sampled(loaded):
            _reseed(loaded, repeat)
        return loaded


def _task_score(task: Task, results: Mapping[str, Any]) -> float:
    value = results.get(task.metric)
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise CycleQDError(f"task {task.name!r} reports {value!r} as {task.metric}")
    return float(value)


class _TaskLoader:
    """Loads lm-eval tasks. Indexes once, with lm-eval's own tasks only if one is named."""

    def __init__(self, tasks: Sequence[Task]) -> None:
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
        """Make a new lm-eval task object with the recipe's settings."""
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
            reason = "; ".join(str(error).splitlines())
            raise TaskFault(f"task: {task.task!r} cannot be loaded: {reason}") from error
        except Exception as error:
            raise TaskFault(
                f"task: {task.task!r} cannot be loaded ({type(error).__name__}: "
                f"{first_line(error)})"
            ) from error
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


def _metric_faults(task: Task, loaded: Any) -> Iterator[str]:
    filters = [pipeline.name for pipeline in loaded._filters]
    metrics: Mapping[str, Any] = loaded.aggregation()
    reported = [f"{metric},{name}" for metric in metrics for name in filters]
    if task.metric not in reported:
        yield (
            f"metric: the task {task.task!r} does not report {task.metric!r}; "
            f"it reports {', '.join(reported)}"
        )
    higher = loaded.higher_is_better().get(task.metric.partition(",")[0])
    if higher is False:
        yield f"metric: {task.metric!r} is better when lower; quality must be maximised"


def _is_sampled(loaded: Any) -> bool:
    """Whether answers are sampled, so that the same model may give different answers."""
    from lm_eval.models.utils import normalize_gen_kwargs

    if loaded.get_config("output_type") != "generate_until":
        return False
    return bool(normalize_gen_kwargs(loaded.get_config("generation_kwargs") or {})["do_sample"])


def _is_steady(task: Task, loaded: Any) -> bool:
    """Whether a model always gets the same score on the same samples.

    This is not known of tasks with environments, which count as not steady.
    """
    environments = task.scored_by.brings_tasks or loaded.OUTPUT_TYPE == "rollout"
    return not environments and not _is_sampled(loaded)


def _reseed(loaded: Any, repeat: int) -> None:
    """Seed the requests by the repeat: other answers in each repeat, the same in the same one."""
    settings = loaded.get_config("generation_kwargs")
    seed = int(settings.get("seed", 0)) + repeat
    for request in loaded.instances:
        prompt, asked, *rest = request.arguments
        request.arguments = (prompt, {**asked, "seed": seed}, *rest)


def _build_requests(loaded: Any, task: Task, ids: Sequence[int], model: Any) -> None:
    """Build the requests of a task as lm-eval's `evaluate` does, which then does not build them."""
    chat = bool(task.apply_chat_template)
    loaded.build_all_requests(
        samples=list(ids),
        rank=model.rank,
        world_size=model.world_size,
        system_instruction=task.system_instruction,
        apply_chat_template=chat,
        fewshot_as_multiturn=task.fewshot_as_multiturn,
        chat_template=model.apply_chat_template if chat else None,
        tokenizer_name=model.tokenizer_name if chat else "",
    )
    documents = list(
        loaded.doc_iterator(rank=model.rank, world_size=model.world_size, samples=list(ids))
    )
    loaded.build_all_requests = lambda **_: None
    loaded.doc_iterator = lambda **_: ((i, copy(doc)) for i, doc in documents)
