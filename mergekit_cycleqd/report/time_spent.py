"""Time that a run spent on evaluations, from its journal."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from statistics import median

from mergekit_cycleqd.report.curves import spaced
from mergekit_cycleqd.run_folder.run_view import Evaluation, RunView

_PARTS = (
    "experts",
    "children",
    "compared models, search samples",
    "compared models, holdout samples",
)


@dataclass(frozen=True)
class Spent:
    """Time spent on a group of evaluations.

    Attributes:
        name: Name of the group.
        evaluations: Number of evaluations.
        failed: Number of failed evaluations.
        seconds: Sum of their wall times.
        middle: Median seconds of an evaluation.
    """

    name: str
    evaluations: int
    failed: int
    seconds: float
    middle: float

    @property
    def mean(self) -> float:
        """Mean seconds of an evaluation."""
        return self.seconds / self.evaluations


def by_part(run: RunView) -> list[Spent]:
    """Sum up the time by what was evaluated: experts, children or compared models."""
    found = _by_name((_part(evaluation), evaluation) for evaluation in run.evaluations)
    return sorted(found, key=lambda spent: _PARTS.index(spent.name))


def by_worker(run: RunView) -> list[Spent]:
    """Sum up the time by the worker that evaluated."""
    found = _by_name((evaluation.worker, evaluation) for evaluation in run.evaluations)
    return sorted(found, key=lambda spent: spent.name)


def pace(run: RunView, points: int = 200) -> tuple[list[int], list[float]]:
    """Compute the mean seconds per child over the run, in stretches of about equal length.

    Returns:
        (P,) the number of the last child of each stretch, and (P,) its mean seconds; P is at most
        `points`.
    """
    children = [e for e in run.evaluations if e.index is not None and e.parents]
    children.sort(key=lambda e: e.index or 0)
    ends = spaced(len(children), points + 1)
    stretches = [children[a:b] for a, b in pairwise(ends)]
    means = [math.fsum(e.seconds for e in stretch) / len(stretch) for stretch in stretches]
    return ends[1:], means


def _part(evaluation: Evaluation) -> str:
    experts, children, searched, held_out = _PARTS
    if evaluation.index is None:
        return held_out if evaluation.split == "holdout" else searched
    return children if evaluation.parents else experts


def _by_name(pairs: Iterable[tuple[str, Evaluation]]) -> list[Spent]:
    groups: dict[str, list[Evaluation]] = {}
    for name, evaluation in pairs:
        groups.setdefault(name, []).append(evaluation)
    return [_sum_up(name, group) for name, group in groups.items()]


def _sum_up(name: str, group: list[Evaluation]) -> Spent:
    seconds = [evaluation.seconds for evaluation in group]
    failed = sum(evaluation.status == "failed" for evaluation in group)
    return Spent(name, len(group), failed, math.fsum(seconds), median(seconds))
