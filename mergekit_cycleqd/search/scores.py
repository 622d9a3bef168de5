"""Scores by task, and their means over several evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

Scores = Mapping[str, float]


def mean_scores(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Compute the mean of several evaluations by task, exact in any order of the evaluations."""
    return {task: math.fsum(one[task] for one in found) / len(found) for task in found[0]}


def scores_by_candidate(
    evaluations: Iterable[tuple[int, int | None, Mapping[str, float] | None]],
) -> dict[int, list[Mapping[str, float]]]:
    """Group the scores of all evaluations by the number of the candidate.

    Args:
        evaluations: Triples in their order. First comes the number of the evaluation, then the
            candidate that it evaluates once more (None for a first evaluation). Last come its
            scores (None if it failed).

    Returns:
        The scores of each candidate that has any.
    """
    found: dict[int, list[Mapping[str, float]]] = {}
    for number, again, scores in evaluations:
        if scores is not None:
            found.setdefault(number if again is None else again, []).append(scores)
    return found


def on_all(tasks: Sequence[str], scores: Scores | None) -> Scores:
    """The scores on all tasks, in their order; empty where one is missing."""
    if scores is None or any(task not in scores for task in tasks):
        return {}
    return {task: scores[task] for task in tasks}
