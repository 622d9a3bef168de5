"""Where the time of a run went, as far as its journal knows: the evaluations."""

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
    """The time of some evaluations.

    Attributes:
        name: What they have in common.
        evaluations: How many they are.
        failed: How many of them failed.
        seconds: Their wall time in all.
        middle: Seconds of the median evaluation.
    """

    name: str
    evaluations: int
    failed: int
    seconds: float
    middle: float

    @property
    def mean(self) -> float:
        """Seconds of the mean evaluation."""
        return self.seconds / self.evaluations


def by_part(run: RunView) -> list[Spent]:
    """The time by what was evaluated."""
    found = _grouped((_part(evaluation), evaluation) for evaluation in run.evaluations)
    return sorted(found, key=lambda spent: _PARTS.index(spent.name))


def by_worker(run: RunView) -> list[Spent]:
    """The time by who evaluated."""
    found = _grouped((evaluation.worker, evaluation) for evaluation in run.evaluations)
    return sorted(found, key=lambda spent: spent.name)


def pace(run: RunView, points: int = 200) -> tuple[list[int], list[float]]:
    """Mean seconds per child over the run.

    Returns:
        (P,) the number of the last child of each stretch, and (P,) its mean seconds; P is at most
        `points`, and stretches are about equally long.
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


def _grouped(pairs: Iterable[tuple[str, Evaluation]]) -> list[Spent]:
    groups: dict[str, list[Evaluation]] = {}
    for name, evaluation in pairs:
        groups.setdefault(name, []).append(evaluation)
    return [_spent(name, group) for name, group in groups.items()]


def _spent(name: str, group: list[Evaluation]) -> Spent:
    seconds = [evaluation.seconds for evaluation in group]
    failed = sum(evaluation.status == "failed" for evaluation in group)
    return Spent(name, len(group), failed, math.fsum(seconds), median(seconds))
