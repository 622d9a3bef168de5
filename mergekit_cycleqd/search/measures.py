"""The measures of a candidate that are not its scores: experts' weights, and what tasks report."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.measures import MeasureAxis, axes_of
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.section import LARGEST
from mergekit_cycleqd.search.scores import Scores


def position(genome: Genome) -> list[float]:
    """Compute the coordinates of a genome: the mean scale of each expert's singular directions.

    Returns:
        (M,) sums of an expert's weight and half the scales of its terms, since the terms' draws
        from [0, 1) have the mean 1/2. The weight is the mean over groups of tensors, if there are
        any. Noise and the lineage are ignored.
    """
    factors = list(genome.groups.mean(genome.weights))
    for term in genome.terms:
        if term.expert is not None:
            factors[term.expert] += term.scale / 2
    return factors


class Measures:
    """What spans the archives of a run.

    Attributes:
        axes: The axes of each task's archive.
        reported: Names of the measures that tasks report beside their scores.
    """

    def __init__(self, recipe: Recipe) -> None:
        """Look up the axes of every archive."""
        self.axes: dict[str, tuple[MeasureAxis, ...]] = {
            task: axes_of(recipe, task) for task in recipe.task_names
        }
        known = {axis.name: axis for axes in self.axes.values() for axis in axes}
        self._weights = {
            axis.name: axis.expert for axis in known.values() if axis.expert is not None
        }
        self.reported = tuple(axis.name for axis in known.values() if axis.metric is not None)

    def in_words(self, possessive: bool = True) -> str:
        """What says which cell of an archive a model is in."""
        found = [axis.task for axes in self.axes.values() for axis in axes]
        if all(found) and len(found) == len(self.axes) * (len(self.axes) - 1):
            return "the other tasks' scores" if possessive else "the scores of the other tasks"
        if not any(found) and not self.reported:
            return "the experts' weights" if possessive else "the weights of the experts"
        return "its measures"

    def of_genome(self, genome: Genome) -> dict[str, float]:
        """The measures that a genome alone decides, by name: weights of experts."""
        if not self._weights:
            return {}
        places = position(genome)
        return {name: places[expert] for name, expert in self._weights.items()}

    def of(self, genome: Callable[[], Genome], scores: Scores) -> Mapping[str, float]:
        """All measures of a candidate that are not its scores on tasks, by name.

        Args:
            genome: Gives the candidate's genome; called only if weights of experts are measures,
                since a genome that a journal tells of is computed when it is looked at.
            scores: What its evaluation told, with all reported measures.
        """
        weights = self.of_genome(genome()) if self._weights else {}
        return weights | {name: scores[name] for name in self.reported}

    def complete(self, scores: Scores | None) -> Scores | None:
        """Scores of all tasks, then reported measures; None if one is NaN or too large.

        Raises:
            SearchError: If a task or a reported measure has no number.
        """
        if scores is None:
            return None
        if missing := [task for task in self.axes if task not in scores]:
            raise SearchError(f"needs a score for every task, got none for {missing[0]!r}")
        if missing := [name for name in self.reported if name not in scores]:
            raise SearchError(f"needs every measure of an archive, got no {missing[0]!r}")
        complete = {name: float(scores[name]) for name in (*self.axes, *self.reported)}
        return complete if all(abs(score) <= LARGEST for score in complete.values()) else None
