"""Elites evaluated once more: whose turn it is, and on which samples."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.candidate import quality_task


class Reevaluations:
    """Which candidates are an elite's next evaluation instead of a child.

    A function of recipe, archives and number alone, like breeding: what counts of other candidates
    is only which of the earlier ones evaluate what, which is settled when they are asked for.
    """

    def __init__(self, recipe: Recipe) -> None:
        """None yet."""
        self._recipe = recipe
        self._asked: dict[int, list[int]] = {}  # candidates that evaluate it again, ascending

    def is_due(self, index: int) -> bool:
        """Whether a candidate is an elite's next evaluation: one of every `reevaluate` children.

        Founders are not counted. It is the last one where the turns of the tasks let every task
        come to it. Where they do not (each third place would always be the third of three tasks),
        it moves forward by one with every round of the tasks, so that each loses its share of
        children and no more.

        Args:
            index: Number of the candidate.
        """
        evolution, tasks = self._recipe.evolution, self._recipe.task_names
        every = evolution.reevaluate
        if every is None:
            return False
        child = index - len(tasks) - len(self._recipe.founders)
        if child < 0:
            return False
        period = evolution.cycle * len(tasks) if evolution.quality == "cyclic" else 1
        shifts = math.gcd(every, period)
        block, place = divmod(child, every)
        return place == every - 1 - block // (period // shifts) % shifts

    def choose(self, archives: Mapping[str, TaskArchive], index: int) -> tuple[str, Elite, int]:
        """The elite that is evaluated again: the one with the fewest evaluations.

        Of those the best at the task comes first, and of equals the older one. An evaluation that
        is still under way counts, and so does one that failed.

        Args:
            archives: The archive of each task, none of them empty.
            index: Number of the candidate that the evaluation is.

        Returns:
            The task whose turn it is, the elite, and which repeat of its evaluation this is, from
            1.
        """
        task = quality_task(self._recipe, index)
        elites = archives[task].elites  # best first
        counts = [self._count(elite.index, index) for elite in elites]
        fewest = min(counts)
        return task, elites[counts.index(fewest)], fewest + 1

    def note(self, index: int, again: int) -> None:
        """Know that candidate `index` evaluates candidate `again` once more."""
        insort(self._asked.setdefault(again, []), index)

    def _count(self, again: int, before: int) -> int:
        return bisect_left(self._asked.get(again, []), before)
