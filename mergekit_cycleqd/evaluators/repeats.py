"""Scores of samples that are answered several times: their mean, or pass@k."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.recipe.tasks import Task

Answered = NDArray[np.float64]
"""(samples,) what one answer to each scored, NaN where it has no score."""


def pass_at(k: int, repeats: Sequence[Answered]) -> float:
    """Estimate how often one of k answers passes: the mean of `pass_shares`."""
    shares = pass_shares(k, repeats)
    known = shares[~np.isnan(shares)]
    return math.fsum(known) / len(known)


def pass_shares(k: int, repeats: Sequence[Answered]) -> Answered:
    """Estimate for each sample how often one of k answers passes.

    The estimate has no bias (arXiv:2107.03374, equation 1).

    Args:
        k: Number of answers.
        repeats: The values of each answer, 0 or 1, at least k of them, over the same samples.
    """
    count = len(repeats)
    passed = np.sum(np.array(repeats) == 1, axis=0)
    shares = [1.0 - math.comb(count - int(n), k) / math.comb(count, k) for n in passed]
    return np.where(np.isnan(repeats[0]), np.nan, shares)


def combined(task: Task, scores: Sequence[float], repeats: Sequence[Answered | None]) -> float:
    """Compute a task's score of all repeats.

    Args:
        task: A task of the recipe.
        scores: The score of each repeat.
        repeats: What each sample scored, of each repeat; used for `pass_at` alone.
    """
    if task.pass_at is not None:
        return pass_at(task.pass_at, [known for known in repeats if known is not None])
    return scores[0] if len(scores) == 1 else math.fsum(scores) / len(scores)


def combined_samples(task: Task, repeats: Sequence[Answered | None]) -> Answered | None:
    """Compute what each sample scored of all repeats: the mean, or pass@k of it alone.

    Args:
        task: A task of the recipe.
        repeats: What each sample scored, of each repeat; None where that is not known.
    """
    known = [values for values in repeats if values is not None]
    if not known or len(known) < len(repeats):
        return None
    if task.pass_at is not None:
        return pass_shares(task.pass_at, known)
    return known[0] if len(known) == 1 else np.mean(known, axis=0)


def check_passes(task: Task, ids: Sequence[int], values: Answered | None) -> None:
    """See that each answer passes or fails, where a task's score is pass@k.

    Args:
        task: A task of the recipe.
        ids: Numbers of the samples.
        values: What each sample scored.

    Raises:
        CycleQDError: If a value is neither 0 nor 1.
    """
    if task.pass_at is None:
        return
    for sample, value in zip(ids, values if values is not None else [None], strict=False):
        if value is None or not (math.isnan(value) or value in (0, 1)):
            raise CycleQDError(
                f"task {task.name!r}: pass_at: needs a metric that is 0 or 1 for each answer, got "
                f"{'no number' if value is None else f'{value:g}'} as {task.metric} of sample "
                f"{sample}"
            )
