"""What an expert answered to samples of its own task, as targets for the weights of merges.

No label is used. Where scores tell which answers were right, the others are left out, if there are
enough of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mergekit_cycleqd.engines.hf.answer_loss import TextSample
from mergekit_cycleqd.engines.hf.recording import Answered
from mergekit_cycleqd.evaluators.base import ENOUGH, OwnAnswers
from mergekit_cycleqd.recipe.tasks import Task

ANSWERED = frozenset({"generate_until", "loglikelihood", "multiple_choice", "rollout"})
"""Types of lm-eval's requests that are answered, or whose answers are given."""

SampleKey = tuple[str | None, int | None]
"""The name of lm-eval's task, and the place of a sample among those that it answers."""


def fit_fault(parts: Iterable[Any]) -> str:
    """Say why founders cannot be fitted to a task of lm-eval; empty if they can.

    Args:
        parts: lm-eval's objects of the task.
    """
    for part in parts:
        if part.OUTPUT_TYPE not in ANSWERED:
            return (
                "asks for no answers that founders could be fitted to: its output_type is "
                f"{part.OUTPUT_TYPE}"
            )
        if getattr(part, "MULTIMODAL", False):
            return "shows images, and founders are fitted to answers to texts alone"
    return ""


def text_answers(
    answered: Sequence[Answered], right: Mapping[SampleKey, bool] | None
) -> OwnAnswers:
    """Make targets of the answers of a language model.

    Args:
        answered: All requests of one task, and their answers.
        right: Whether each sample was answered right; None if scores do not tell.
    """
    by_sample: dict[SampleKey, list[Answered]] = {}
    for answer in answered:
        by_sample.setdefault(answer.sample, []).append(answer)
    count = None if right is None else sum(right.values())
    if right is not None and count is not None and count >= ENOUGH:
        kept = {key: found for key, found in by_sample.items() if right.get(key, True)}
    else:
        kept = by_sample
    samples = tuple(sample for found in kept.values() for sample in _samples(found))
    return OwnAnswers(samples, len(by_sample), count)


def right_answers(
    task: Task, logged: Mapping[str, Iterable[Mapping[str, Any]]], places: Mapping[str, Places]
) -> dict[SampleKey, bool] | None:
    """Tell which samples were answered right, as far as a task's metric is 0 or 1 for each.

    Args:
        task: A task of the recipe.
        logged: lm-eval's log of samples, by the key of a task object.
        places: By the same keys.
    """
    metric, _, chosen = task.metric.partition(",")
    found: dict[SampleKey, bool] = {}
    for key, samples in logged.items():
        name, numbers = places[key].name, places[key].numbers
        for sample in samples:
            if sample["filter"] != chosen or metric not in sample:
                continue
            value = sample[metric]
            if not isinstance(value, bool | int | float) or value not in (0, 1):
                return None
            found[name, numbers.index(int(sample["doc_id"]))] = bool(value)
    return found if found and not task.minimised else None


@dataclass(frozen=True)
class Places:
    """Where the samples of a task object stand.

    Attributes:
        name: The task's name in requests.
        numbers: Numbers of the samples, in the order in which they are asked.
    """

    name: str
    numbers: Sequence[int]


def _samples(answered: Sequence[Answered]) -> list[TextSample]:
    """Make targets of the answers to one sample: each turn, or one choice among given answers."""
    given = [answer for answer in answered if answer.loglikelihood is not None]
    rows = [(answer.context, answer.answer) for answer in answered]
    if len(given) < 2 or len(given) < len(answered):
        return [TextSample((row,)) for row in rows]
    values = [answer.loglikelihood or 0.0 for answer in given]
    top = max(values)
    powers = [math.exp(value - top) for value in values]
    return [TextSample(tuple(rows), tuple(power / math.fsum(powers) for power in powers))]
