"""Which model of a run to take: the best over all tasks, or by weights and limits; the front."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.comparison import FindScores
from mergekit_cycleqd.search.aggregation import all_rounders
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.scores import Scores
from mergekit_cycleqd.search.worth import Worth

BEST, AGGREGATE = "best.yaml", "aggregate.yaml"
_CLOSE = 1e-9


@dataclass(frozen=True)
class Choice:
    """A model of a run that can be taken.

    Attributes:
        number: Number of the candidate; None for the aggregate.
        recipe: Path of its recipe in the run folder.
        genome: The model.
        scores: Its scores on search samples.
    """

    number: int | None
    recipe: str
    genome: Genome
    scores: Scores

    @property
    def name(self) -> str:
        """Such as ``candidate 57``."""
        return "the aggregate" if self.number is None else f"candidate {self.number}"


@dataclass(frozen=True)
class Wish:
    """What is wanted of a model.

    Attributes:
        weights: How much each task counts; 1 where nothing is said.
        least: Scores that it must reach, by task.
        most: Scores that it must not exceed, by task.
    """

    weights: Mapping[str, float]
    least: Mapping[str, float]
    most: Mapping[str, float]

    def allows(self, scores: Scores) -> bool:
        """Whether scores are within the limits."""
        high = all(scores[task] >= limit - _CLOSE for task, limit in self.least.items())
        return high and all(scores[task] <= limit + _CLOSE for task, limit in self.most.items())

    def value(self, scores: Scores, worth: Worth) -> float:
        """The weighted sum of the worths of scores."""
        return math.fsum(
            self.weights.get(task, 1.0) * worth.of(task, score) for task, score in scores.items()
        )


ANY = Wish({}, {}, {})


def worth_of(search: CycleQD) -> Worth:
    """How good scores of a run are, on every task."""
    return next(iter(search.archives.values())).worth


def choices(search: CycleQD, find: FindScores) -> list[Choice]:
    """Every elite, each once, the best over all tasks first; then the aggregate, if it was scored.

    Args:
        search: The search, after its experts were told.
        find: Looks up the scores of a genome on a split.
    """
    places: dict[int, str] = {}
    for task in search.tasks:
        for elite in search.elites(task):
            places.setdefault(elite.index, f"elites/{task}/{elite.index:06d}.yaml")
    ranked = all_rounders(search.archives)
    found = [
        Choice(elite.index, BEST if elite is ranked[0] else places[elite.index], elite.genome,
               elite.scores)
        for elite in ranked
    ]  # fmt: skip
    together = search.aggregate()
    scores = find(together, "search")
    if scores is not None and all(choice.genome.id != together.id for choice in found):
        found.append(Choice(None, AGGREGATE, together, scores))
    return found


def ranked(found: Sequence[Choice], worth: Worth, wish: Wish = ANY) -> list[Choice]:
    """The models within the limits, the best first; of equals the first one."""
    allowed = [choice for choice in found if wish.allows(choice.scores)]
    return sorted(allowed, key=lambda choice: -wish.value(choice.scores, worth))


def front(found: Sequence[Choice], worth: Worth) -> list[Choice]:
    """The Pareto front: models that no other betters on a task and equals on the others."""
    points = [tuple(worth.of(t, s) for t, s in choice.scores.items()) for choice in found]

    def beaten(i: int) -> bool:
        mine = points[i]
        return any(
            all(x >= y for x, y in zip(other, mine, strict=True)) and (other != mine or j < i)
            for j, other in enumerate(points)
            if j != i
        )

    return [choice for i, choice in enumerate(found) if not beaten(i)]


def model_to_take(search: CycleQD, find: FindScores) -> Choice:
    """The model that is best over all tasks on search samples.

    Args:
        search: The search, after its experts were told.
        find: Looks up the scores of a genome on a split.
    """
    return ranked(choices(search, find), worth_of(search))[0]


def merge_command(recipe: Path) -> str:
    """The command that builds the model of a recipe."""
    return shlex.join(["mergekit-cycleqd", "merge", str(recipe), "my-model"])
