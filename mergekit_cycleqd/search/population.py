"""All archives of a search. The experts set their ranges; a corrected score rebuilds them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive, automatic_range
from mergekit_cycleqd.search.scores import mean_scores
from mergekit_cycleqd.search.worth import Worth


class Population:
    """All archives of a search, and with `reevaluate` all candidates that were offered.

    Attributes:
        archives: The archive of each task.
    """

    def __init__(self, recipe: Recipe, experts: Sequence[Elite] = ()) -> None:
        """Make the archives and offer them the experts.

        Args:
            recipe: The run.
            experts: The experts that have scores, which set the automatic ranges.
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
        if any([archive.add(elite) for archive in self.archives.values()]):
            _ = elite.genome  # computed now, while those of its parents are at hand

    def has(self, index: int) -> bool:
        """Whether a candidate was offered, so that `add_evaluation` can take another one of it."""
        return index in self._offered

    def add_evaluation(self, index: int, scores: Mapping[str, float]) -> None:
        """Add an evaluation of a candidate, whose score becomes the mean of all evaluations.

        The archives are then rebuilt: all candidates are offered again in their order, with their
        present scores. The ranges stay.

        Args:
            index: Number of a candidate that was offered.
            scores: Scores of the new evaluation, by task.
        """
        known = self._scores[index]
        known.append(scores)
        self._offered[index] = replace(
            self._offered[index], scores=mean_scores(known), evaluations=len(known)
        )
        for archive in self.archives.values():
            archive.refill(list(self._offered.values()))


def _empty(recipe: Recipe, scores: Sequence[Mapping[str, float]]) -> dict[str, TaskArchive]:
    """Make empty archives, with automatic ranges from the scores of experts."""
    ranges = {
        task.name: automatic_range([known[task.name] for known in scores])
        if task.range == "auto"
        else task.range
        for task in recipe.tasks
    }
    bins = {task.name: task.bins for task in recipe.tasks}
    worth = Worth({task.name: ranges[task.name] for task in recipe.tasks if task.minimised})
    archives = {}
    for name in recipe.task_names:
        axes = [axis for axis in recipe.task_names if axis != name]
        archives[name] = TaskArchive(
            name, axes, [bins[axis] for axis in axes], [ranges[axis] for axis in axes], worth
        )
    return archives
