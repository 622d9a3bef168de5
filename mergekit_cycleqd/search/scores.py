"""Scores by task, and means of several evaluations."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

Scores = Mapping[str, float]


def mean_scores(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of several evaluations, by task; in any order the same to the last bit."""
    return {task: math.fsum(one[task] for one in found) / len(found) for task in found[0]}


def scores_by_candidate(
    evaluations: Iterable[tuple[int, int | None, Mapping[str, float] | None]],
) -> dict[int, list[Mapping[str, float]]]:
    """The scores of all evaluations of each candidate that has any, by its number.

    Args:
        evaluations: In their order: the number of each, the candidate that it evaluates once more
            (None for a first evaluation), and its scores (None where it failed).
    """
    found: dict[int, list[Mapping[str, float]]] = {}
    for number, again, scores in evaluations:
        if scores is not None:
            found.setdefault(number if again is None else again, []).append(scores)
    return found
