"""What a run has spent of `evolution.budget`, by the lines of its journal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD

_HOUR = 3600.0


class Spent:
    """The evaluations of candidates, added up.

    Attributes:
        seconds: Wall time of all of them, those of several workers one after the other.
        shares: By task, how often its samples were answered; a part of them is a part of 1.
        last: The largest number of a candidate, or -1.
        workers: Names of those who did them.
    """

    def __init__(self) -> None:
        """Begin with nothing."""
        self.seconds = 0.0
        self.shares: dict[str, float] = defaultdict(float)
        self.last = -1
        self.workers: set[str] = set()

    def add(self, record: Record) -> None:
        """Count an evaluation, if it is one of a candidate."""
        if record.candidate is None:
            return
        self.seconds += record.seconds
        self.last = max(self.last, record.candidate.index)
        self.workers.add(record.worker)
        if record.bounds is not None:  # what they leave open was not answered
            for task, (low, high) in record.bounds.items():
                self.shares[task] += 1 - (high - low)
        for task in record.scores or ():
            self.shares[task] += 1

    @property
    def hours(self) -> float:
        """How long the workers were at it, side by side."""
        return self.seconds / _HOUR / max(1, len(self.workers))

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


def end_if_spent(search: CycleQD, spent: Spent, sizes: Mapping[str, int]) -> None:
    """End a search whose budget is spent, with the candidates that were asked for or told.

    Args:
        search: The search.
        spent: What its evaluations have cost.
        sizes: Number of search samples of each task.
    """
    if spent.used(search.recipe, sizes) >= 1:
        search.end_after(spent.last + 1)
