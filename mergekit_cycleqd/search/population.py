"""The archives of all tasks: laid out by the experts, made anew where scores are corrected."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive, automatic_range


class Population:
    """The archives, and with `reevaluate` all candidates that they were offered.

    Attributes:
        archives: One per task.
    """

    def __init__(self, recipe: Recipe, experts: Sequence[Elite] = ()) -> None:
        """Lay out the archives and offer them the experts.

        Args:
            recipe: The run.
            experts: Those with scores, which set the automatic ranges.
        """
        self.archives = _empty(recipe, [expert.scores for expert in experts])
        self._keeps = recipe.evolution.reevaluate is not None
        self._offered: dict[int, Elite] = {}
        self._scores: dict[int, list[Mapping[str, float]]] = {}
        for expert in experts:
            self.offer(expert)

    def offer(self, elite: Elite) -> None:
        """Offer a candidate to every archive."""
        if self._keeps:
            self._offered[elite.index] = elite
            self._scores[elite.index] = [elite.scores]
        for archive in self.archives.values():
            archive.add(elite)

    def has(self, index: int) -> bool:
        """Whether a candidate was offered that `correct` may be told more of."""
        return index in self._offered

    def correct(self, index: int, scores: Mapping[str, float]) -> None:
        """Take one more evaluation of a candidate: what it scores is the mean of all of them.

        The archives then are what offering all candidates in their order, with the scores that
        they have now, leaves. Their ranges stay.

        Args:
            index: Number of a candidate that was offered.
            scores: Of the new evaluation.
        """
        known = self._scores[index]
        known.append(scores)
        self._offered[index] = replace(
            self._offered[index], scores=mean_scores(known), evaluations=len(known)
        )
        for archive in self.archives.values():
            archive.refill(list(self._offered.values()))


def mean_scores(found: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """The mean of several evaluations, by task; in any order the same to the last bit."""
    return {task: math.fsum(one[task] for one in found) / len(found) for task in found[0]}


def gathered(
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


def _empty(recipe: Recipe, scores: Sequence[Mapping[str, float]]) -> dict[str, TaskArchive]:
    """The archives of a recipe, with the automatic ranges that these scores of experts make."""
    ranges = {
        task.name: automatic_range([known[task.name] for known in scores])
        if task.range == "auto"
        else task.range
        for task in recipe.tasks
    }
    bins = {task.name: task.bins for task in recipe.tasks}
    archives = {}
    for name in recipe.task_names:
        axes = [axis for axis in recipe.task_names if axis != name]
        archives[name] = TaskArchive(
            name, axes, [bins[axis] for axis in axes], [ranges[axis] for axis in axes]
        )
    return archives
