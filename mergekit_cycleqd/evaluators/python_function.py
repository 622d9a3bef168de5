"""Score models by a Python function of the user, for domains without an evaluator of their own.

The function gets the model that the engine holds, the numbers of the samples, and the task's
`metadata` as keyword arguments. It returns a number per metric, or a list with a number for each
sample, whose mean is the score. See ``recipes/python-evaluator/``.
"""

from __future__ import annotations

import importlib
import importlib.util
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.errors import CycleQDError, reason
from mergekit_cycleqd.evaluators.base import Positions, Scored
from mergekit_cycleqd.evaluators.task_errors import RAISED, TaskError
from mergekit_cycleqd.evaluators.task_samples import SampledHarness, TaskFault, prepare_all
from mergekit_cycleqd.recipe.measures import reported_name
from mergekit_cycleqd.recipe.sample_ids import SampleIds, Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.search.early_stop import CannotEnter, EntryThresholds

Function = Callable[..., Mapping[str, float | Sequence[float]]]


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
        self,
        model: Any,
        split: Split,
        thresholds: EntryThresholds | None = None,
        repeat: int = 0,
        only: Positions | None = None,
    ) -> Scored:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        The thresholds are not checked, since nothing bounds what a function will return.
        """
        found = Scored()
        for name, ids in self._samples.chosen(split, repeat, only).items():
            told = _call_function(self._tasks[name], self._functions[name], model, ids)
            found |= told
            found.samples |= told.samples
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


def _call_function(task: Task, function: Function, model: Any, ids: Sequence[int]) -> Scored:
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
    found = Scored()
    for name, metric in {task.name: task.metric, **named}.items():
        found[name], values = _number(task, scores, metric, len(ids))
        if name == task.name and values is not None:
            found.samples[name] = values
    return found


def _number(
    task: Task, scores: Mapping[str, Any], metric: str, count: int
) -> tuple[float, NDArray[np.float64] | None]:
    """The score by one metric, and what each sample scored if the function says that."""
    if metric not in scores:
        raise CycleQDError(
            f"task {task.name!r}: {task.task} does not report {metric!r}; it reports "
            f"{', '.join(map(str, scores)) or 'nothing'}"
        )
    said, values = scores[metric], None
    try:
        if np.ndim(said) == 1 and (len(said) != 1 or count == 1):  # else a score as an array
            values = np.array([float(value) for value in said])
            if len(values) != count:
                raise CycleQDError(
                    f"task {task.name!r}: {task.task} must report a number for each of {count} "
                    f"samples as {metric}, or one for all, got {len(values)}"
                )
        value = float(said) if values is None else math.fsum(values) / count
    except (TypeError, ValueError):
        value = math.nan
    if not math.isfinite(value):
        raise CycleQDError(f"task {task.name!r} reports {said!r:.200} as {metric}")
    return value, values
