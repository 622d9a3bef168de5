"""Say which task and which sample an error comes from, whatever lm-eval or a task raises."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from functools import partial
from typing import Any

from mergekit_cycleqd.errors import CycleQDError, reason, without_panics
from mergekit_cycleqd.search.early_stop import CannotEnter
from mergekit_cycleqd.system.replaced import replaced
from mergekit_cycleqd.system.time_limit import time_limit

RAISED = (Exception, SystemExit, GeneratorExit)
"""What code of a task may raise. Ctrl-C is not the task's."""

PROMPT_SECONDS = 120.0
"""Longest time for one prompt or one score; templates of strangers may loop without end."""

SEARCH_SECONDS = 60.0
"""Longest time that is spent to find the sample that a model cannot answer."""

_OF_A_SAMPLE = {
    "doc_to_prefix": "its prompt cannot be made",
    "fewshot_context": "its prompt cannot be made",
    "construct_requests": "its requests cannot be made",
}
_LONGEST = 80  # characters of a request that are shown
_REQUESTS = ("loglikelihood", "loglikelihood_rolling", "generate_until", "rollout")


class TaskError(CycleQDError):
    """A task that cannot be scored, with the sample and the reason."""

    def __init__(self, task: str, sample: int | None, what: str, error: BaseException) -> None:
        """Write the line.

        Args:
            task: Its name.
            sample: The number of its document; None if it is not known, or not one alone.
            what: What cannot be done.
            error: The reason.
        """
        where = f"task {task!r}" + ("" if sample is None else f", sample {sample}")
        super().__init__(f"{where}: {what}: {reason(error)}")


@contextmanager
def located(
    model: Any, loaded: Mapping[str, Any], samples: Mapping[str, Sequence[int]] | None
) -> Iterator[None]:
    """Name task and sample in what is raised while lm-eval evaluates.

    Other errors of this package pass through, as does the early stop.

    Args:
        model: lm-eval's model.
        loaded: lm-eval's task objects, by the names for messages.
        samples: The numbers of the documents that are evaluated, by the same names; None for all.

    Raises:
        TaskError: Instead of what was raised.
    """
    numbers = samples or {}
    tasks = [_Task(name, task, numbers.get(name)) for name, task in loaded.items()]
    with ExitStack() as stack:
        for task in tasks:
            for name, method in task.methods():
                stack.enter_context(replaced(task.loaded, name, method))
        for name in _REQUESTS:
            if hasattr(model, name):
                ask = partial(_ask, model, name, getattr(model, name), tasks)
                stack.enter_context(replaced(model, name, ask))
        try:
            with without_panics():
                yield
        except (CannotEnter, CycleQDError):
            raise
        except RAISED as error:
            raise _of_whole_tasks(tasks, error) from error


def _of_whole_tasks(tasks: Sequence[_Task], error: BaseException) -> TaskError:
    """Name the metric that was being computed, or else all tasks."""
    for task in reversed(tasks):
        if task.metric is not None:
            return task.error(None, f"the metric {task.metric!r} cannot be computed", error)
    return TaskError(_names(tasks), None, "cannot be evaluated", error)


def _names(tasks: Sequence[_Task]) -> str:
    return ", ".join(task.name for task in tasks)


class _Task:
    """One of lm-eval's task objects, with the name and the samples that messages give.

    Attributes:
        name: Its name.
        loaded: The object.
        metric: The metric that is being computed; None before.
    """

    def __init__(self, name: str, loaded: Any, samples: Sequence[int] | None) -> None:
        self.name = name
        self.loaded = loaded
        self.metric: str | None = None
        self._samples = samples

    @property
    def requests(self) -> Sequence[Any]:
        """The requests that were made so far."""
        return getattr(self.loaded, "_instances", None) or ()

    def methods(self) -> list[tuple[str, Callable[..., Any]]]:
        """List what replaces the object's own methods."""
        found: list[tuple[str, Callable[..., Any]]] = [
            (name, partial(self._of_a_sample, getattr(self.loaded, name), what))
            for name, what in _OF_A_SAMPLE.items()
        ]
        filtered, aggregation = self.loaded.apply_filters, self.loaded.aggregation
        scored = partial(_mapping, self.loaded.process_results)
        return [
            *found,
            ("process_results", partial(self._of_a_sample, scored, "its answer cannot be scored")),
            ("apply_filters", partial(self._filtered, filtered)),
            ("aggregation", lambda: _NotedMetrics(aggregation(), self)),
        ]

    def error(self, place: int | None, what: str, error: BaseException) -> TaskError:
        """Make the error of the sample at a place, or of the whole task."""
        number = place
        if place is not None and self._samples is not None:
            number = self._samples[place]
        return TaskError(self.name, number, what, error)

    def _of_a_sample(
        self, method: Callable[..., Any], what: str, *args: Any, **settings: Any
    ) -> Any:
        try:
            with time_limit(PROMPT_SECONDS), without_panics():
                return method(*args, **settings)
        except (CannotEnter, CycleQDError):
            raise
        except RAISED as error:
            doc = settings["doc"] if "doc" in settings else args[0]
            if "larger than population" in str(error):  # of Python's random.sample
                what += ", num_fewshot is more than the documents that examples are taken from"
            raise self.error(self._place(doc), what, error) from error

    def _place(self, doc: Any) -> int | None:
        """Find a document among the samples."""
        with suppress(*RAISED):  # comparing documents may fail too
            for request in self.requests:
                if request.doc is doc or request.doc == doc:
                    return int(request.doc_id)
            chosen = self.loaded.doc_iterator(rank=0, world_size=1, samples=self._samples)
            return next((place for place, other in chosen if other == doc), None)
        return None

    def _filtered(self, apply_filters: Callable[[], Any]) -> Any:
        what = "its answer breaks a filter"
        try:
            return apply_filters()
        except RAISED as error:
            for request in self.requests:
                try:
                    for pipeline in self.loaded._filters:
                        pipeline.apply([copy(request)])
                except RAISED as first:
                    raise self.error(request.doc_id, what, first) from error
            raise self.error(None, what, error) from error


def _mapping(process_results: Callable[..., Any], *args: Any) -> Any:
    found = process_results(*args)
    if not isinstance(found, Mapping):
        raise TypeError(f"process_results must return a mapping of metrics, got {found!r:.60}")
    return found


class _NotedMetrics(dict[str, Any]):
    """The aggregations of a task. It notes which one is asked for."""

    def __init__(self, found: Mapping[str, Any], task: _Task) -> None:
        super().__init__(found)
        self._task = task

    def __getitem__(self, metric: str) -> Any:
        self._task.metric = metric
        return super().__getitem__(metric)


def _ask(
    model: Any,
    name: str,
    method: Callable[..., Any],
    tasks: Sequence[_Task],
    requests: Sequence[Any],
    *args: Any,
    **settings: Any,
) -> Any:
    """Let a model answer requests. If it cannot, find the one that it cannot answer."""
    try:
        with without_panics():
            return method(requests, *args, **settings)
    except (CannotEnter, SystemExit):
        raise
    except Exception as error:
        named = name == "rollout" or type(error) is not CycleQDError
        if isinstance(error, CycleQDError) and named:
            raise
        found = _unanswered(model, method, requests)
        for task in tasks:
            if any(found is request for request in task.requests):
                asked = repr(found.args)
                asked = asked if len(asked) <= _LONGEST else f"{asked[: _LONGEST - 3]}..."
                what = f"{_named(model)} cannot answer {asked}"
                raise task.error(found.doc_id, what, error) from error
        given = {id(request) for request in requests}
        those = [t for t in tasks if any(id(request) in given for request in t.requests)]
        what = f"{_named(model)} cannot answer"
        raise TaskError(_names(those or tasks), None, what, error) from error


def _named(model: Any) -> str:
    """Call the model, with what lm-eval cannot do without."""
    if getattr(getattr(model, "tokenizer", None), "eos_token_id", 0) is None:
        return "the model, whose tokenizer has no eos_token,"
    return "the model"


def _unanswered(model: Any, method: Callable[..., Any], requests: Sequence[Any]) -> Any:
    """Find a request that alone breaks, by halves; None if none does, or it takes too long."""
    from lm_eval.api.model import CacheHook

    def breaks(some: Sequence[Any]) -> bool:
        try:
            with without_panics():
                method(some)
        except Exception:
            return True
        return False

    hook, model.cache_hook = model.cache_hook, CacheHook(None)
    began = time.monotonic()
    left = list({id(request): request for request in requests}.values())
    try:
        while len(left) > 1:
            if time.monotonic() - began > SEARCH_SECONDS:
                return None
            half = left[: len(left) // 2]
            left = half if breaks(half) else left[len(half) :]
        return left[0] if breaks(left) else None
    finally:
        model.cache_hook = hook
