"""Repeated evaluation of elites: when it is due, and which elite is next."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.candidate import quality_task


class Reevaluations:
    """Decides which candidates are another evaluation of an elite instead of a child.

    Like breeding, this depends on recipe, archives and number alone. Of other candidates it only
    matters which elites earlier ones evaluate. That is known when these are asked for.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Start without any repeated evaluation."""
        self._recipe = recipe
        self._asked: dict[
            int, list[int]
        ] = {}  # by elite: candidates that evaluate it again, ascending

    def is_due(self, index: int) -> bool:
        """Whether a candidate is another evaluation: one of every `reevaluate` children.

        Founders are not counted. Usually it is the last of the `reevaluate` children. But every
        third child, say, would always fall on the third of three tasks. In such a case the place
        moves forward by one after each round of the tasks, so that all lose equally many children.

        Args:
            index: Number of the candidate.
        """
        evolution, tasks = self._recipe.evolution, self._recipe.task_names
        every = evolution.reevaluate
        if every is None:
            return False
        child = index - len(self._recipe.experts) - len(self._recipe.founders)
        if child < 0:
            return False
        period = evolution.cycle * len(tasks) if evolution.quality == "cyclic" else 1
        shifts = math.gcd(every, period)
        block, place = divmod(child, every)
        return place == every - 1 - block // (period // shifts) % shifts

    def choose(self, archives: Mapping[str, TaskArchive], index: int) -> tuple[str, Elite, int]:
        """Choose the elite with the fewest evaluations of the quality task's archive.

        Among several, the best at the task is chosen, then the oldest. Evaluations that are not
        finished or that failed count too.

        Args:
            archives: The archive of each task, none of them empty.
            index: Number of the candidate that is the new evaluation.

        Returns:
            The quality task, the elite, and the number of this repeat, counted from 1.
        """
        task = quality_task(self._recipe, index)
        elites = archives[task].elites  # best first
        counts = [self._count(elite.index, index) for elite in elites]
        fewest = min(counts)
        return task, elites[counts.index(fewest)], fewest + 1

    def note(self, index: int, again: int) -> None:
        """Record that candidate `index` evaluates candidate `again` once more."""
        insort(self._asked.setdefault(again, []), index)

    def _count(self, again: int, before: int) -> int:
        return bisect_left(self._asked.get(again, []), before)
