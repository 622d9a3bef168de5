"""A candidate for evaluation, its outcome, and the quality task of its turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.later import holds_genome
from mergekit_cycleqd.genome.making import Making
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.scores import Scores
from mergekit_cycleqd.search.shown import line_of_candidate


def quality_task(recipe: Recipe, index: int) -> str:
    """Give the task whose score is the quality in a candidate's turn.

    Args:
        recipe: The run.
        index: Number of a candidate that is not an expert.
    """
    evolution, tasks = recipe.evolution, recipe.task_names
    child = index - len(recipe.experts)
    if evolution.quality != "cyclic":
        return evolution.quality
    return tasks[child // evolution.cycle % len(tasks)]


@holds_genome
@dataclass(frozen=True, slots=True)
class Candidate:
    """A model to evaluate.

    Attributes:
        index: Number of the candidate. The experts are 0 .. M-1, children follow.
        task: The quality task of its turn; for an expert the expert's task, empty if it has none.
        genome: The model.
        parents: Numbers of the parents; empty for an expert.
        again: Number of the earlier candidate that is evaluated once more, which then is the only
            parent; None for a new model.
        repeat: 0 for a first evaluation. Later ones count from 1 in the order of `ask`.
        making: How a child was just made of its parents; None if its genome alone is known.
    """

    index: int
    task: str
    genome: Genome
    parents: tuple[int, ...] = ()
    again: int | None = None
    repeat: int = 0
    making: Making | None = field(default=None, compare=False, repr=False)

    def __repr__(self) -> str:
        return line_of_candidate(self)


@dataclass(frozen=True, slots=True)
class Outcome:
    """A candidate and its scores, which are None if the evaluation failed."""

    candidate: Candidate
    scores: Scores | None


def need_scores(outcomes: Sequence[Outcome], experts: Sequence[str]) -> None:
    """Check that every expert has scores, before the archives are made of them.

    Args:
        outcomes: Of the experts.
        experts: Their names, by number.

    Raises:
        SearchError: If one has none.
    """
    for outcome in outcomes:
        if outcome.scores is None:
            raise SearchError(
                f"the expert {experts[outcome.candidate.index]} could not be evaluated; see the "
                "journal for the error"
            )
