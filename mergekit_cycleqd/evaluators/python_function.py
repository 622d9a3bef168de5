"""Score models by a Python function of the user, for domains without an evaluator of their own.

The function gets the model that the engine holds, the numbers of the samples, and the task's
`metadata` as keyword arguments. It returns a number per metric. See ``recipes/python-evaluator/``.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mergekit_cycleqd.errors import CycleQDError, reason
from mergekit_cycleqd.evaluators.task_errors import RAISED, TaskError
from mergekit_cycleqd.evaluators.task_samples import SampledHarness, TaskFault, prepare_all
from mergekit_cycleqd.recipe.measures import reported_name
from mergekit_cycleqd.recipe.sample_ids import SampleIds, Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.search.early_stop import CannotEnter, EntryThresholds

Function = Callable[..., Mapping[str, float]]


class PythonHarness(SampledHarness):
    """Tasks that are scored by Python functions."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Import every function that the recipe's user agreed to run.

        Args:
            tasks: The recipe's tasks of this evaluator.

        Raises:
            RecipeError: With one line per fault, each with the path to its key.
        """
        super().__init__(tasks)
        self._functions: dict[str, Function] = {}
        prepare_all(tasks, self._prepare)

    def _prepare(self, task: Task) -> Iterator[str]:
        yield from self._samples.add(task, _sample_numbers)
        if not task.confirm_run_unsafe_code:
            raise TaskFault(
                f"confirm_run_unsafe_code: the run would call {task.task}, code of this machine; "
                "look at it, and set it to true if you accept that"
            )
        self._functions[task.name] = _import_function(task.task)

    def evaluate(
        self, model: Any, split: Split, thresholds: EntryThresholds | None = None, repeat: int = 0
    ) -> dict[str, float]:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        The thresholds are not checked, since nothing bounds what a function will return.
        """
        found: dict[str, float] = {}
        for name in self._samples.tasks(split):
            ids = self._samples.of(name, split, repeat)
            found |= _call_function(self._tasks[name], self._functions[name], model, ids)
        return found


def _sample_numbers(ids: SampleIds) -> list[int]:
    ends = [last for _, last in ids.spans]
    if None in ends:
        raise ValueError(
            "needs an end, such as 0-199, since only the function knows how many samples there "
            f"are; got {ids}"
        )
    return ids.resolve(1 + max(last for last in ends if last is not None))


def _import_function(source: str) -> Function:
    """Import the function that ``package.module:function`` or ``file.py:function`` names."""
    where, colon, name = source.rpartition(":")
    if not (colon and where and name.isidentifier()):
        raise TaskFault(
            f"task: must be package.module:function or file.py:function, got {source!r}"
        )
    try:
        module = (
            _import_file(Path(where)) if where.endswith(".py") else importlib.import_module(where)
        )
    except RAISED as error:  # the user's code may raise anything
        raise TaskFault(f"task: {where} cannot be imported ({reason(error)})") from error
    function = getattr(module, name, None)
    if not callable(function):
        raise TaskFault(f"task: {where} has no function {name!r}")
    found: Function = function
    return found


def _import_file(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"no such file, neither beside the recipe nor here: {path}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None and spec.loader is not None  # true for files that end in .py
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _call_function(
    task: Task, function: Function, model: Any, ids: Sequence[int]
) -> dict[str, float]:
    """Call it, and take the task's score out of what it returns, and its measures by name."""
    try:
        scores = function(model, list(ids), **(task.metadata or {}))
    except (CannotEnter, CycleQDError):
        raise
    except RAISED as error:
        raise TaskError(task.name, None, f"{task.task} breaks", error) from error
    if not isinstance(scores, Mapping):
        raise CycleQDError(
            f"task {task.name!r}: {task.task} must return a mapping of metrics to numbers, got "
            f"{type(scores).__name__}"
        )
    named = {reported_name(task.name, metric): metric for metric in task.reports}
    return {
        name: _number(task, scores, metric)
        for name, metric in {task.name: task.metric, **named}.items()
    }


def _number(task: Task, scores: Mapping[str, float], metric: str) -> float:
    if metric not in scores:
        raise CycleQDError(
            f"task {task.name!r}: {task.task} does not report {metric!r}; it reports "
            f"{', '.join(map(str, scores)) or 'nothing'}"
        )
    try:
        value = float(scores[metric])
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise CycleQDError(f"task {task.name!r} reports {scores[metric]!r} as {metric}")
    return value
