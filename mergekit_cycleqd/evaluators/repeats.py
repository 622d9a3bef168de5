"""Scores of samples that are answered several times: their mean, or pass@k."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.recipe.tasks import Task

Answered = Mapping[int, float]
"""The value of a metric by sample, of one answer each."""


def answered(task: Task, logged: Iterable[Mapping[str, Any]]) -> Answered:
    """Take the values of a task's metric out of the samples that lm-eval logs.

    Args:
        task: A task of the recipe.
        logged: lm-eval's samples, one for each document and filter.

    Raises:
        CycleQDError: If a value is neither 0 nor 1.
    """
    metric, _, chosen = task.metric.partition(",")
    found = {
        int(each["doc_id"]): each[metric]
        for each in logged
        if each["filter"] == chosen and metric in each
    }
    for sample, value in found.items():
        if isinstance(value, bool | int | float) and value in (0, 1):
            continue
        raise CycleQDError(
            f"task {task.name!r}: pass_at: needs a metric that is 0 or 1 for each answer, got "
            f"{value!r:.40} as {task.metric} of sample {sample}"
        )
    return {sample: float(value) for sample, value in found.items()}


def pass_at(k: int, repeats: Sequence[Answered]) -> float:
    """Estimate how often one of k answers passes, without bias (arXiv:2107.03374, equation 1).

    Args:
        k: Number of answers.
        repeats: The values of each answer, at least k of them, over the same samples.
    """
    count = len(repeats)
    shares = [
        1.0 - math.comb(count - passed, k) / math.comb(count, k)
        for passed in (sum(each[sample] == 1 for each in repeats) for sample in repeats[0])
    ]
    return math.fsum(shares) / len(shares)


def combined(task: Task, scores: Sequence[float], repeats: Sequence[Answered]) -> float:
    """Compute a task's score of all repeats.

    Args:
        task: A task of the recipe.
        scores: The score of each repeat.
        repeats: The values by sample of each repeat; used for `pass_at` alone.
    """
    if task.pass_at is not None:
        return pass_at(task.pass_at, repeats)
    return scores[0] if len(scores) == 1 else math.fsum(scores) / len(scores)
