"""Which metrics a task of lm-eval reports, before and after it is evaluated."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.recipe.measures import OUTPUT_LENGTH, reported_name
from mergekit_cycleqd.recipe.tasks import Task


def metric_faults(task: Task, loaded: LoadedTask) -> Iterator[str]:
    """Check a task's metric as far as its file tells.

    A function of the task may report more than the file lists. Then the first evaluation tells.

    Args:
        task: A task of the recipe.
        loaded: lm-eval's objects of it.

    Returns:
        The faults, each as ``key: what is wrong``.
    """
    yield from _faults_of(task, loaded, "metric", task.metric)
    for metric in task.reports:
        if metric != OUTPUT_LENGTH:
            yield from _faults_of(task, loaded, "measures", metric)
        elif any(part.OUTPUT_TYPE != "generate_until" for part in loaded.parts.values()):
            yield f"measures: {OUTPUT_LENGTH} is of answers, and {task.task!r} generates no text"


def _faults_of(task: Task, loaded: LoadedTask, key: str, named: str) -> Iterator[str]:
    filters = [pipeline.name for pipeline in loaded.first._filters]
    metric, _, chosen = named.partition(",")
    listed = loaded.metrics()
    if named not in listed:
        closed = task.scored_by.brings_tasks or loaded.group is not None
        if closed or not _reports_more(loaded.first):
            yield (
                f"{key}: the task {task.task!r} does not report {named!r}; "
                f"it reports {', '.join(listed)}"
            )
        elif chosen not in filters:
            yield (
                f"{key}: must be a metric and a filter of the task {task.task!r}, such as "
                f"{metric},{filters[0]}, got {named!r}; its filters: {', '.join(filters)}"
            )


class MetricNotReported(CycleQDError):
    """The samples that were evaluated have no value of a task's metric; others may have one."""


def task_score(task: Task, results: Mapping[str, Any], metric: str | None = None) -> float:
    """Take a task's metric out of lm-eval's results.

    Args:
        task: A task of the recipe.
        results: What lm-eval reports of it.
        metric: Another metric than the task's own.

    Raises:
        MetricNotReported: If the metric is not reported.
        CycleQDError: If it is no number.
    """
    metric = metric or task.metric
    if metric not in results:
        reported = [key for key in results if "," in key and "_stderr," not in key]
        raise MetricNotReported(
            f"task {task.name!r} does not report {metric!r}; it reports "
            f"{', '.join(reported) or 'nothing'}"
        )
    value = results[metric]
    if not isinstance(value, int | float) or not math.isfinite(value):
        raise CycleQDError(f"task {task.name!r} reports {value!r} as {metric}")
    return float(value)


def measured(task: Task, results: Mapping[str, Any], parts: Iterable[Any]) -> dict[str, float]:
    """What a task reports for its archive beside its score, by the measures' names.

    Args:
        task: A task of the recipe.
        results: What lm-eval reports of it.
        parts: lm-eval's objects of it that were evaluated, with their requests.
    """
    return {
        reported_name(task.name, metric): _mean_length(parts)
        if metric == OUTPUT_LENGTH
        else task_score(task, results, metric)
        for metric in task.reports
    }


def _mean_length(parts: Iterable[Any]) -> float:
    """Mean number of characters of all answers, as the model wrote them."""
    lengths = [
        len(answer)
        for part in parts
        for request in part.instances or ()
        for answer in request.resps
        if isinstance(answer, str)
    ]
    return math.fsum(lengths) / len(lengths) if lengths else 0.0


def _reports_more(loaded: Any) -> bool:
    """Whether functions that are not lm-eval's own decide what is reported."""
    from lm_eval.api.task import ConfigurableTask

    if type(loaded).process_results is not ConfigurableTask.process_results:
        return True
    if callable(loaded.config.process_results):
        return True
    functions = loaded._metric_fn_list.values()
    return loaded.OUTPUT_TYPE == "generate_until" and any(
        getattr(function, "__module__", None) != "lm_eval.api.metrics" for function in functions
    )
