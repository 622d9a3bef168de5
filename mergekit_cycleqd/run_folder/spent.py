"""What a run has spent of `evolution.budget`, by the lines of its journal."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD

_HOUR = 3600.0
_NUMBERED = re.compile(r"[a-z]+ (\d+)")


class Spent:
    """The evaluations of candidates, added up.

    Attributes:
        seconds: By worker, the wall time of its evaluations. A worker that takes the place of
            another, on whatever node, goes on with its name; one that works alone is the first.
        shares: By task, how often its samples were answered; a part of them is a part of 1.
        last: The largest number of a candidate, or -1.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seconds: dict[str, float] = defaultdict(float)
        self.shares: dict[str, float] = defaultdict(float)
        self.last = -1

    def add(self, record: Record) -> None:
        """Count an evaluation, if it is one of a candidate."""
        if record.candidate is None:
            return
        self.seconds[_place(record.worker)] += record.seconds
        self.last = max(self.last, record.candidate.index)
        if record.bounds is not None:  # what they leave open was not answered
            for task, (low, high) in record.bounds.items():
                self.shares[task] += 1 - (high - low)
        for task in record.scores or ():
            self.shares[task] += 1

    @property
    def hours(self) -> float:
        """How long the workers were at it, side by side: as long as the one that did most."""
        return max(self.seconds.values(), default=0.0) / _HOUR

    def answers(self, sizes: Mapping[str, int]) -> int:
        """How many samples were answered.

        Args:
            sizes: Number of search samples of each task.
        """
        return round(sum(size * self.shares[task] for task, size in sizes.items()))

    def used(self, recipe: Recipe, sizes: Mapping[str, int]) -> float:
        """Share of the budget that is spent, 1 and more if all of it is; 0 without a budget.

        Args:
            recipe: The run.
            sizes: Number of search samples of each task.
        """
        if (budget := recipe.evolution.budget) is None:
            return 0.0
        hours = self.hours / budget.hours if budget.hours else 0.0
        answers = self.answers(sizes) / budget.answers if budget.answers else 0.0
        return max(hours, answers)


def _place(worker: str) -> str:
    """The number of a worker such as ``actor 2 on 10.0.0.7``, and 1 for one that works alone."""
    found = _NUMBERED.match(worker)
    return found[1] if found else "1"


def end_if_spent(search: CycleQD, spent: Spent, sizes: Mapping[str, int]) -> None:
    """End a search whose budget is spent, with the candidates that were asked for or told.

    Args:
        search: The search.
        spent: What its evaluations have cost.
        sizes: Number of search samples of each task.
    """
    if spent.used(search.recipe, sizes) >= 1:
        search.end_after(spent.last + 1)
