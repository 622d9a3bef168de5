"""Bounds on a candidate's scores while lm-eval evaluates it, from the samples that are done.

With them, an evaluation stops early when the candidate cannot enter any archive.
"""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from mergekit_cycleqd.evaluators.task_guards import runs_answers
from mergekit_cycleqd.recipe.bins import BOUNDED
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.search.early_stop import EntryThresholds

SLACK = 1e-9
"""Allowance for rounding: lm-eval may sum the same numbers in another order.

It is used only if a sample's score is not a whole number, since whole numbers sum exactly.
"""

_FILTERS = ("lm_eval.filters.extraction", "lm_eval.filters.selection")


@dataclass
class _Sample:
    """The requests of one document, and the answers received so far."""

    task: _BoundedTask
    requests: list[Any]
    answers: dict[int, list[Any]] = field(default_factory=dict)

    def add(self, request: Any, answer: Any) -> bool:
        """Keep one answer. Returns whether all answers of the document are there."""
        self.answers.setdefault(id(request), []).append(answer)
        return all(len(self.answers.get(id(one), ())) == one.repeats for one in self.requests)


class _BoundedTask:
    """A task whose score is the mean of its samples' scores, each between 0 and 1."""

    def __init__(self, task: Task, loaded: Any) -> None:
        self.name = task.name
        self._loaded = loaded
        self._metric, _, self._filter = task.metric.partition(",")
        self._total = len({request.doc_id for request in loaded.instances})
        self._done = 0
        self._sum = 0.0
        self._slack = 0.0

    def samples(self) -> Iterable[_Sample]:
        """Group the task's requests by document."""
        documents: dict[int, list[Any]] = {}
        for request in self._loaded.instances:
            documents.setdefault(request.doc_id, []).append(request)
        for requests in documents.values():
            yield _Sample(self, sorted(requests, key=lambda request: request.idx))

    def take(self, sample: _Sample) -> None:
        """Score a sample whose answers are all there, and add it to the sum."""
        requests = [copy(request) for request in sample.requests]
        for mine, request in zip(requests, sample.requests, strict=True):
            mine.resps, mine.filtered_resps = sample.answers[id(request)], {}
        for pipeline in self._loaded._filters:
            if pipeline.name == self._filter:
                pipeline.apply(requests)
        answers = [request.filtered_resps[self._filter] for request in requests]
        value = self._loaded.process_results(requests[0].doc, answers).get(self._metric)
        if value is None:  # lm-eval's mean is over the samples that have the metric
            self._total -= 1
            return
        self._sum += float(value)
        self._done += 1
        if not float(value).is_integer():
            self._slack = SLACK

    @property
    def bounds(self) -> tuple[float, float]:
        """The lowest and the highest value that the mean can still reach."""
        if not self._total:
            return -math.inf, math.inf
        highest = self._sum + self._total - self._done
        return self._sum / self._total - self._slack, highest / self._total + self._slack


class Watch:
    """Takes the place of lm-eval's cache hook, which receives every answer after its batch.

    When all answers of a document are there, they are filtered and scored as lm-eval will do at the
    end. Each scored document narrows the bounds of its task's mean. No answer is changed.
    """

    def __init__(self, thresholds: EntryThresholds | None, tasks: Sequence[Task]) -> None:
        """Start with unknown scores for all tasks.

        Args:
            thresholds: Scores that the candidate must reach; None to watch nothing.
            tasks: All tasks of the run.
        """
        self._thresholds = thresholds
        self._tasks = {task.name: task for task in tasks}
        self._bounds = dict.fromkeys(self._tasks, (-math.inf, math.inf))
        self._waiting: dict[str, deque[tuple[_Sample, Any]]] = {}

    @contextmanager
    def over(self, model: Any, loaded: Mapping[str, Any]) -> Iterator[None]:
        """Watch tasks while lm-eval evaluates them. Their requests must be built already.

        Args:
            model: lm-eval's model.
            loaded: lm-eval's task objects, by the names of the recipe's tasks.
        """
        if self._thresholds is None:
            yield
            return
        for name, task in loaded.items():
            if name in self._tasks and _is_bounded(self._tasks[name], task):  # of groups none is
                self._follow(_BoundedTask(self._tasks[name], task))
        hook, model.cache_hook = model.cache_hook, self
        try:
            yield
        finally:
            model.cache_hook = hook

    def _follow(self, task: _BoundedTask) -> None:
        self._bounds[task.name] = task.bounds
        for sample in task.samples():
            for request in sample.requests:
                waiting = self._waiting.setdefault(_request_key(request.args), deque())
                waiting.extend([(sample, request)] * request.repeats)

    def add_partial(self, kind: str, asked: Sequence[Any], answer: Any) -> None:
        """Receive an answer. lm-eval calls this method by its name.

        Args:
            kind: The kind of request.
            asked: Arguments of the request.
            answer: The model's answer.

        Raises:
            CannotEnter: If the candidate cannot enter an archive, whatever it still answers.
        """
        waiting = self._waiting.get(_request_key(asked))
        if not waiting:  # it is a turn of an episode, or a copy that pads a batch
            return
        sample, request = waiting.popleft()
        if not sample.add(request, answer):
            return
        sample.task.take(sample)
        self._bounds[sample.task.name] = sample.task.bounds
        assert self._thresholds is not None  # without thresholds, `over` sets no hook
        self._thresholds.check(self._bounds)


def _request_key(asked: Sequence[Any]) -> str:
    return json.dumps(asked, sort_keys=True, default=str)


def _is_bounded(task: Task, loaded: Any) -> bool:
    """Whether a task's score is a mean of numbers in 0 to 1 that are cheap to compute twice."""
    from lm_eval.api.metrics import mean

    metric, _, name = task.metric.partition(",")
    return (
        not task.scored_by.brings_tasks
        and task.repeats == 1
        and not runs_answers(loaded)
        and metric in BOUNDED
        and loaded.aggregation().get(metric) is mean
        and all(
            getattr(build, "func", build).__module__ in _FILTERS
            for pipeline in loaded._filters
            if pipeline.name == name
            for build in pipeline.filters
        )
    )
