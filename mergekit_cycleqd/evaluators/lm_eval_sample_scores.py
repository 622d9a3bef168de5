"""What each sample of lm-eval's tasks scored, noted while lm-eval computes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import numpy as np

from mergekit_cycleqd.evaluators.lm_eval_parts import LoadedTask
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.system.replaced import replaced


class Noted:
    """The metrics of every sample, as task objects gave them to lm-eval.

    lm-eval's own log has them too, with hashes and texts of every sample, which take longer.
    """

    def __init__(self) -> None:
        """Nothing yet."""
        self._passes: dict[str, list[list[Mapping[str, Any]]]] = {}

    @contextmanager
    def over(self, loaded: Mapping[str, Any]) -> Iterator[None]:
        """Note what lm-eval computes of tasks in this context.

        Args:
            loaded: lm-eval's task objects, by key.
        """
        with ExitStack() as stack:
            for key, part in loaded.items():
                passes = self._passes[key] = []
                begun = _begun(part.doc_iterator, passes)
                scored = _scored(part.process_results, passes)
                stack.enter_context(replaced(part, "doc_iterator", begun))
                stack.enter_context(replaced(part, "process_results", scored))
            yield

    def of(self, task: Task, loaded: LoadedTask, ids: Sequence[int]) -> SampleScores | None:
        """What each sample scored by a task's metric.

        Args:
            task: A task of the recipe.
            loaded: lm-eval's objects of it.
            ids: Numbers of the samples, ascending.

        Returns:
            (samples,) scores, NaN for a sample without a number; None if none has one.
        """
        metric, _, chosen = task.metric.partition(",")
        numbers = loaded.numbers(ids)
        found: dict[tuple[str, int], float] = {}
        for key, those in numbers.items():
            answered = (r.filtered_resps for r in loaded.parts[key].instances)
            filters = list(next(filter(None, answered), ()))
            if chosen not in filters:
                return None
            told = self._passes[key][filters.index(chosen)]
            for number, metrics in zip(those, told, strict=True):
                found[key, number] = _number(metrics.get(metric))
        scores = np.array([found[place] for place in loaded.places(ids)])
        return scores if np.isfinite(scores).any() else None


def _begun(
    doc_iterator: Callable[..., Any], passes: list[list[Mapping[str, Any]]]
) -> Callable[..., Any]:
    """Begin a list whenever lm-eval begins to score the samples, as it does for each filter."""

    def begin(**settings: Any) -> Any:
        passes.append([])
        return doc_iterator(**settings)

    return begin


def _scored(
    process_results: Callable[..., Any], passes: list[list[Mapping[str, Any]]]
) -> Callable[..., Any]:
    """Note the metrics of a sample. The early stop scores before lm-eval does, which is not it."""

    def score(*args: Any, **settings: Any) -> Any:
        metrics = process_results(*args, **settings)
        if passes:
            passes[-1].append(metrics)
        return metrics

    return score


def _number(value: Any) -> float:
    return float(value) if isinstance(value, bool | int | float | np.number) else np.nan
