"""Scores of a candidate while lm-eval is still at it: bounds from the samples that are done."""

from __future__ import annotations

import json
import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from copy import copy
from dataclasses import dataclass, field
from typing import Any

from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.search.early_stop import EntryThresholds

BOUNDED = frozenset({"acc", "acc_norm", "acc_bytes", "exact_match"})
"""Metrics of lm-eval that lie between 0 and 1 for every sample."""

SLACK = 1e-9
"""What a mean may differ by where the same numbers are summed in another order.

Whole numbers sum to the same in any order, and then rounding cannot pass the bounds either.
"""

_FILTERS = ("lm_eval.filters.extraction", "lm_eval.filters.selection")


@dataclass
class _Sample:
    """The requests of one document, and their answers as far as they came."""

    of: _Bounded
    requests: list[Any]
    answers: dict[int, list[Any]] = field(default_factory=dict)

    def add(self, request: Any, answer: Any) -> bool:
        """Keep one answer; True with the last one."""
        self.answers.setdefault(id(request), []).append(answer)
        return all(len(self.answers.get(id(one), ())) == one.repeats for one in self.requests)


class _Bounded:
    """A task whose score is the mean of its samples', each of them between 0 and 1."""

    def __init__(self, task: Task, loaded: Any) -> None:
        self.name = task.name
        self._loaded = loaded
        self._metric, _, self._filter = task.metric.partition(",")
        self._total = len({request.doc_id for request in loaded.instances})
        self._done = 0
        self._sum = 0.0
        self._slack = 0.0

    def samples(self) -> Iterable[_Sample]:
        """Its documents."""
        documents: dict[int, list[Any]] = {}
        for request in self._loaded.instances:
            documents.setdefault(request.doc_id, []).append(request)
        for requests in documents.values():
            yield _Sample(self, sorted(requests, key=lambda request: request.idx))

    def take(self, sample: _Sample) -> None:
        """Count a sample whose answers are all there."""
        requests = [copy(request) for request in sample.requests]
        for mine, request in zip(requests, sample.requests, strict=True):
            mine.resps, mine.filtered_resps = sample.answers[id(request)], {}
        for pipeline in self._loaded._filters:
            if pipeline.name == self._filter:
                pipeline.apply(requests)
        answers = [request.filtered_resps[self._filter] for request in requests]
        value = self._loaded.process_results(requests[0].doc, answers)[self._metric]
        self._sum += float(value)
        self._done += 1
        if not float(value).is_integer():
            self._slack = SLACK

    @property
    def bounds(self) -> tuple[float, float]:
        """What the mean lies between."""
        highest = self._sum + self._total - self._done
        return self._sum / self._total - self._slack, highest / self._total + self._slack


class Watch:
    """lm-eval's cache hook, which is told every answer as soon as its batch is done.

    It only looks: an answer counts once all of its document's are there, is filtered and scored as
    lm-eval will do it at the end, and narrows what the task's mean can still be.
    """

    def __init__(self, floors: EntryThresholds | None, tasks: Sequence[Task]) -> None:
        """Know nothing yet.

        Args:
            floors: What has to be reached; None to watch nothing.
            tasks: All tasks of the run.
        """
        self._floors = floors
        self._tasks = {task.name: task for task in tasks}
        self._bounds = dict.fromkeys(self._tasks, (-math.inf, math.inf))
        self._waiting: dict[str, deque[tuple[_Sample, Any]]] = {}

    @contextmanager
    def over(self, model: Any, loaded: Mapping[str, Any]) -> Iterator[None]:
        """Watch some tasks while lm-eval evaluates them; their requests are built already.

        Args:
            model: lm-eval's model.
            loaded: lm-eval's tasks, by the names of ours.
        """
        if self._floors is None:
            yield
            return
        for name, task in loaded.items():
            if _is_bounded(self._tasks[name], task):
                self._follow(_Bounded(self._tasks[name], task))
        hook, model.cache_hook = model.cache_hook, self
        try:
            yield
        finally:
            model.cache_hook = hook

    def _follow(self, task: _Bounded) -> None:
        self._bounds[task.name] = task.bounds
        for sample in task.samples():
            for request in sample.requests:
                waiting = self._waiting.setdefault(_key(request.args), deque())
                waiting.extend([(sample, request)] * request.repeats)

    def add_partial(self, kind: str, asked: Sequence[Any], answer: Any) -> None:
        """Take an answer; the name is lm-eval's.

        Args:
            kind: The kind of request.
            asked: Its arguments.
            answer: What the model gave.

        Raises:
            CannotEnter: If the candidate cannot be kept whatever else it gives.
        """
        waiting = self._waiting.get(_key(asked))
        if not waiting:  # a turn of an episode, or a copy that pads a batch
            return
        sample, request = waiting.popleft()
        if not sample.add(request, answer):
            return
        sample.of.take(sample)
        self._bounds[sample.of.name] = sample.of.bounds
        assert self._floors is not None  # else it is no model's hook
        self._floors.check(self._bounds)


def _key(asked: Sequence[Any]) -> str:
    return json.dumps(asked, sort_keys=True, default=str)


def _is_bounded(task: Task, loaded: Any) -> bool:
    """Whether a task's score is a mean of numbers between 0 and 1 that are cheap to have twice."""
    from lm_eval.api.metrics import mean

    metric, _, name = task.metric.partition(",")
    return (
        not task.scored_by.brings_tasks
        and not getattr(loaded, "UNSAFE_CODE", False)
        and metric in BOUNDED
        and loaded.aggregation().get(metric) is mean
        and all(
            getattr(build, "func", build).__module__ in _FILTERS
            for pipeline in loaded._filters
            if pipeline.name == name
            for build in pipeline.filters
        )
    )
