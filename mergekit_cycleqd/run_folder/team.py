"""Teams of elites: those that answer most samples right between them, chosen one after the other.

The coverage of a team is what the best of its answers to each sample scores, as a mean over samples
and tasks. Where scores are 0 and 1, it is the share of samples that a member answers right. It is
reached only if somebody, or something, tells the best answer.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.choice import ANY, Choice, Wish, choices, ranked, worth_of
from mergekit_cycleqd.run_folder.compared_models import originals
from mergekit_cycleqd.run_folder.comparison import FindScores
from mergekit_cycleqd.run_folder.sample_results import SampleResults, is_mean
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.worth import Worth
from mergekit_cycleqd.system.units import listed, number

LONGEST = 10
"""Number of members up to which a report follows a team."""

_GAIN = 1e-12
_Scores = Mapping[str, NDArray[np.float64]]


@dataclass(frozen=True)
class Member:
    """One more member of a team.

    Attributes:
        choice: The model.
        coverage: What the team up to this member covers on search samples, as a weighted mean over
            the tasks; where lower scores are better, by their place in the task's range.
        tasks: The same by task, in the unit of its score.
        holdout: As `tasks`, on holdout samples; empty where a member was not scored there.
    """

    choice: Choice
    coverage: float
    tasks: Mapping[str, float]
    holdout: Mapping[str, float]


@dataclass(frozen=True)
class Team:
    """A team, and what is left out of it.

    Attributes:
        members: In the order in which they were chosen. The first one is the best alone.
        left_out: Tasks without scores of samples that make their score.
        models: How many models it was chosen from.
        experts: What all experts together cover, by split and task; a split is missing where one of
            them was not scored.
        weights: How much each task counts in all means.
    """

    members: Sequence[Member]
    left_out: tuple[str, ...]
    models: int
    experts: Mapping[Split, Mapping[str, float]]
    weights: Mapping[str, float]

    def mean(self, scores: Mapping[str, float]) -> float:
        """The weighted mean over the tasks."""
        return _weighted(scores, self.weights)

    def experts_in_words(self, lower: Collection[str]) -> str:
        """What all experts together cover, as means over tasks.

        Args:
            lower: Tasks whose scores are better when lower; with any, there are no means.
        """
        if lower or not self.experts:
            return ""
        means = [f"{self.mean(scores):.3f} on {s} samples" for s, scores in self.experts.items()]
        return f"all experts together: {listed(means)}"

    @property
    def unscored(self) -> list[Choice]:
        """The members that were not scored on holdout samples."""
        return [each.choice for each in self.members if not each.holdout]

    @property
    def columns(self) -> list[tuple[str, Split]]:
        """Task and split of each number in `rows`; holdout samples if any member has them."""
        splits: list[Split] = ["search"]
        if any(member.holdout for member in self.members):
            splits.append("holdout")
        return [(task, split) for split in splits for task in self.members[0].tasks]

    @property
    def rows(self) -> list[list[str]]:
        """What the team up to each member covers, in the order of `columns`."""
        found = []
        for member in self.members:
            told = {"search": member.tasks, "holdout": member.holdout}
            found.append([number(told[split].get(task)) for task, split in self.columns])
        return found


def team(
    search: CycleQD, find: FindScores, samples: SampleResults, size: int, wish: Wish = ANY
) -> Team:
    """Choose a team greedily: each member adds most to what those before it cover.

    Greedy choice reaches at least 63 % of what the best team covers (Nemhauser, Wolsey and Fisher,
    1978). It ends early when no model adds anything.

    Args:
        search: The search, after its experts were told.
        find: Looks up the scores of a genome on a split.
        samples: What each sample scored.
        size: Number of members.
        wish: How much each task counts, and limits that each member keeps.
    """
    worth = worth_of(search)
    found = [each for each in ranked(choices(search, find), worth, wish) if each.number is not None]
    tasks = _comparable(search, find, samples)
    known = {each.genome.id: samples.of(each.genome.id, "search") for each in found}
    found = [each for each in found if all(task in known[each.genome.id] for task in tasks)]
    weights = {task: wish.weights.get(task, 1.0) for task in tasks}
    if not tasks or not sum(weights.values()):
        return Team([], tuple(t for t in search.tasks if t not in tasks), len(found), {}, weights)

    def total(best: _Scores) -> float:
        return _weighted({task: float(best[task].mean()) for task in tasks}, weights)

    values = {each.genome.id: _worths(known[each.genome.id], tasks, worth) for each in found}
    members: list[Member] = []
    covered: _Scores | None = None
    while len(members) < min(size, len(found)):
        options = [(_best(covered, values[each.genome.id]), each) for each in found]
        totals = [total(best) for best, _ in options]
        place = int(np.argmax(totals))  # of equals the first, which is the best alone
        if members and totals[place] <= members[-1].coverage + _GAIN:
            break
        covered, chosen = options[place]
        team_so_far = [*(member.choice.genome for member in members), chosen.genome]
        members.append(
            Member(
                chosen,
                totals[place],
                coverage(team_so_far, search, samples, "search", tasks),
                coverage(team_so_far, search, samples, "holdout", tasks),
            )
        )
    experts = [genome for _, genome in originals(search)[1:-1]]
    together = {split: coverage(experts, search, samples, split, tasks) for split in SPLITS}
    return Team(
        members,
        tuple(t for t in search.tasks if t not in tasks),
        len(found),
        {split: scores for split, scores in together.items() if scores},
        weights,
    )


def coverage(
    genomes: Sequence[Genome],
    search: CycleQD,
    samples: SampleResults,
    split: Split,
    tasks: Sequence[str],
) -> dict[str, float]:
    """What the best answer of several models to each sample scores, by task.

    Args:
        genomes: The models.
        search: Their search.
        samples: What each sample scored.
        split: Which samples.
        tasks: Which tasks; those without samples in the split are left out.

    Returns:
        Empty where a model was not scored.
    """
    found = {}
    for task in tasks:
        if samples.asked is None or not samples.asked.of(task, split):
            continue
        scores = [samples.of(genome.id, split).get(task) for genome in genomes]
        known = [values for values in scores if values is not None]
        if len(known) < len(scores):
            return {}
        best: Callable[..., NDArray[np.float64]] = (
            np.fmin if task in search.recipe.minimised else np.fmax
        ).reduce
        found[task] = float(np.nanmean(best(known)))
    return found


def _comparable(search: CycleQD, find: FindScores, samples: SampleResults) -> list[str]:
    """The tasks whose score is the mean of their samples', as the experts' lines tell."""
    found = []
    for task in search.tasks:
        checks = [
            is_mean(values[task], scores[task])
            for k, scores in enumerate(search.expert_scores)
            if scores is not None
            and task
            in (values := samples.of(Genome.from_expert(search.family.plain, k).id, "search"))
        ]
        if checks and all(checks):
            found.append(task)
    return found


def _weighted(scores: Mapping[str, float], weights: Mapping[str, float]) -> float:
    """The mean over the tasks that have a score on the split."""
    known = {task: weight for task, weight in weights.items() if task in scores}
    total = sum(known.values()) or 1.0
    return sum(weight * scores[task] for task, weight in known.items()) / total


def _worths(scores: _Scores, tasks: Sequence[str], worth: Worth) -> _Scores:
    """The worth of each sample's score; one without a score adds nothing to a team."""
    found = {}
    for task in tasks:
        values = np.asarray(worth.of(task, scores[task]))
        lowest = np.nanmin(values) if np.isfinite(values).any() else 0.0
        found[task] = np.nan_to_num(values, nan=float(lowest))
    return found


def _best(covered: _Scores | None, more: _Scores) -> _Scores:
    if covered is None:
        return more
    return {task: np.maximum(covered[task], values) for task, values in more.items()}
