"""A genome to be evaluated, what came of it, and whose turn it is."""

from __future__ import annotations

from dataclasses import dataclass

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.scores import Scores


def quality_task(recipe: Recipe, index: int) -> str:
    """The task whose turn as quality it is.

    Args:
        recipe: The run.
        index: Number of a candidate that is no expert.
    """
    evolution, tasks = recipe.evolution, recipe.task_names
    if evolution.quality != "cyclic":
        return evolution.quality
    return tasks[(index - len(tasks)) // evolution.cycle % len(tasks)]


@dataclass(frozen=True, slots=True)
class Candidate:
    """A genome to be evaluated.

    Attributes:
        index: Its number: 0 .. K-1 are the experts, children follow.
        task: The task whose turn as quality it is; an expert's own.
        genome: The model.
        parents: Numbers of the candidates it was bred from; empty for an expert.
        again: Where it is one more evaluation of an earlier candidate instead of a new model: the
            number of that one, which then is its only parent.
        repeat: 0 for a first evaluation; later ones are counted from 1, as they are asked for.
    """

    index: int
    task: str
    genome: Genome
    parents: tuple[int, ...] = ()
    again: int | None = None
    repeat: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """A candidate with what came of it; scores are None where the evaluation failed."""

    candidate: Candidate
    scores: Scores | None
