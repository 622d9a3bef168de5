"""Elites evaluated once more: whose turn it is, and on which samples."""

from __future__ import annotations

import math
from bisect import bisect_left, insort
from collections.abc import Mapping, Sequence

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive


class Repeats:
    """Which candidates are an elite's next evaluation instead of a child.

    A function of recipe, archives and number alone, like breeding: what counts of other candidates
    is only which of the earlier ones evaluate what, which is settled when they are asked for.
    """

    def __init__(self, recipe: Recipe) -> None:
        """None yet."""
        self._recipe = recipe
        self._asked: dict[int, list[int]] = {}  # candidates that evaluate it again, ascending

    def falls_on(self, index: int) -> bool:
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
        task = turn(self._recipe, index)
        elites = archives[task].elites  # best first
        counts = [self._count(elite.index, index) for elite in elites]
        fewest = min(counts)
        return task, elites[counts.index(fewest)], fewest + 1

    def note(self, index: int, again: int) -> None:
        """Know that candidate `index` evaluates candidate `again` once more."""
        insort(self._asked.setdefault(again, []), index)

    def _count(self, again: int, before: int) -> int:
        return bisect_left(self._asked.get(again, []), before)


def turn(recipe: Recipe, index: int) -> str:
    """The task whose turn as quality it is.

    Args:
        recipe: The run.
        index: Number of a candidate that is no expert.
    """
    evolution, tasks = recipe.evolution, recipe.task_names
    if evolution.quality != "cyclic":
        return evolution.quality
    return tasks[(index - len(tasks)) // evolution.cycle % len(tasks)]


def blocks(ids: Sequence[int], size: int) -> list[list[int]]:
    """The ids that repeats take in turn, as many as the search has; what is left over is unused.

    Args:
        ids: All of them, ascending.
        size: How many each repeat takes.

    Raises:
        ValueError: If there are not enough for one.
    """
    if len(ids) < size:
        raise ValueError(f"needs at least as many ids as search has ({size}), got {len(ids)}")
    return [list(ids[start : start + size]) for start in range(0, len(ids) - size + 1, size)]


def ids_of(first: Sequence[int], again: Sequence[Sequence[int]], repeat: int) -> Sequence[int]:
    """The samples of one evaluation.

    Args:
        first: Those of a candidate's first evaluation.
        again: The task's blocks for later ones; without any they are on the first samples too.
        repeat: 0 for the first evaluation, and from 1 for later ones.
    """
    return again[(repeat - 1) % len(again)] if repeat and again else first
