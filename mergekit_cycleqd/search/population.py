"""All archives of a search. The experts set their ranges; a corrected score rebuilds them."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import replace

from mergekit_cycleqd.recipe.archive import archive_kind
from mergekit_cycleqd.recipe.bins import Range
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive, automatic_range
from mergekit_cycleqd.search.entrance import Entrance
from mergekit_cycleqd.search.measures import Measures
from mergekit_cycleqd.search.scores import mean_scores
from mergekit_cycleqd.search.worth import Worth

RECENT = 300


class Population:
    """All archives of a search, and with `reevaluate` all candidates that were offered.

    Attributes:
        archives: The archive of each task.
        recent: The last `RECENT` candidates that were offered.
    """

    def __init__(self, recipe: Recipe, experts: Sequence[Elite] = ()) -> None:
        """Make the archives and offer them the experts.

        Args:
            recipe: The run.
            experts: The experts that have scores, which set the automatic ranges.
        """
        self.archives = _empty(recipe, experts)
        self._entrance = Entrance(self.archives.values())
        self.recent: deque[Elite] = deque(maxlen=RECENT)
        self._keeps = recipe.evolution.reevaluate is not None
        self._offered: dict[int, Elite] = {}
        self._scores: dict[int, list[Mapping[str, float]]] = {}
        self._measures: dict[int, list[Mapping[str, float]]] = {}
        for expert in experts:
            self.offer(expert)

    def offer(self, elite: Elite) -> None:
        """Offer a candidate to every archive."""
        self.recent.append(elite)
        if self._keeps:
            self._offered[elite.index] = elite
            self._scores[elite.index] = [elite.scores]
            self._measures[elite.index] = [elite.measures]
        if self._entrance.add(elite):
            _ = elite.genome  # computed now, while those of its parents are at hand

    def has(self, index: int) -> bool:
        """Whether a candidate was offered, so that `add_evaluation` can take another one of it."""
        return index in self._offered

    def add_evaluation(self, again: Elite) -> None:
        """Add an evaluation of a candidate, whose score becomes the mean of all evaluations.

        The archives are then rebuilt: all candidates are offered again in their order, with their
        present scores. The ranges stay.

        Args:
            again: A candidate that was offered, with the new scores and measures.
        """
        index = again.index
        known, measures = self._scores[index], self._measures[index]
        known.append(again.scores)
        measures.append(again.measures)
        self._offered[index] = replace(
            self._offered[index],
            scores=mean_scores(known),
            measures=mean_scores(measures),
            evaluations=len(known),
        )
        self._entrance.refill(list(self._offered.values()))


def _empty(recipe: Recipe, experts: Sequence[Elite]) -> dict[str, TaskArchive]:
    """Make empty archives, with automatic ranges from the scores of experts."""

    def laid(name: str, said: Range) -> tuple[float, float]:
        if said != "auto":
            return said
        return automatic_range([value for expert in experts for value in expert.along([name])])

    ranges = {task.name: laid(task.name, task.range) for task in recipe.tasks}
    worth = Worth({task.name: ranges[task.name] for task in recipe.tasks if task.minimised})
    kind, archives = archive_kind(recipe), {}
    for task, axes in Measures(recipe).axes.items():
        archives[task] = TaskArchive(
            task,
            [axis.name for axis in axes],
            [axis.bins for axis in axes],
            [laid(axis.name, axis.range) for axis in axes],
            worth,
            kind,
            recipe.evolution.archive.cells,
        )
    return archives
