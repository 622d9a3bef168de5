"""Measures of the archives over the children, computed by filling the archives again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.population import Population

POINTS = 500
BEST_MEAN = "Best mean over the tasks"


@dataclass(frozen=True)
class Curves:
    """Measures of every archive at P numbers of children, P at most `POINTS`.

    Attributes:
        children: (P,) numbers of children, ascending; 0 stands for the experts alone.
        qd_score: (P,) values per task: the sum of the worths of the elites' qualities.
        coverage: (P,) values per task: the share of cells that hold an elite.
        best: (P,) values per task: the best quality.
        mean: (P,) values: the best mean over the tasks of any elite; empty where lower is better on
            a task, so that a mean says nothing.
    """

    children: tuple[int, ...]
    qd_score: Mapping[str, list[float]]
    coverage: Mapping[str, list[float]]
    best: Mapping[str, list[float]]
    mean: list[float]

    @property
    def measures(self) -> dict[str, Mapping[str, list[float]]]:
        """Three measures, by the names that the report shows.

        The best score on a task is often an expert's from the start. The best mean tells more.
        """
        last = {BEST_MEAN: {"best mean": self.mean}} if self.mean else {"Best score": self.best}
        return {"QD score": self.qd_score, "Coverage": self.coverage, **last}


def curves(run: RunView) -> Curves | None:
    """Compute the curves of a run; None before all its experts are evaluated."""
    search = run.search
    if not search.archives_ready:
        return None
    evaluations = run.candidates
    first = search.experts
    counts_shown = {first + n for n in spaced(len(evaluations) - first)}
    placeholder = Genome.from_base(search.family)
    qd_score, coverage, best = ({task: list[float]() for task in search.tasks} for _ in range(3))
    mean: list[float] = []
    children: list[int] = []
    experts: list[Elite] = []
    population = Population(run.recipe)
    for count, evaluation in enumerate(evaluations, start=1):
        if evaluation.scores is not None and evaluation.index is not None:
            number = evaluation.index if evaluation.again is None else evaluation.again
            scores = {task: evaluation.scores[task] for task in search.tasks}
            measures = search.measures.of(partial(_genome, run, number), evaluation.scores)
            elite = Elite(number, placeholder, scores, evaluation.parents, measures=measures)
            if count <= first:
                experts.append(elite)
                population = Population(run.recipe, experts)
            elif evaluation.again is None:
                population.offer(elite)
            else:
                population.add_evaluation(elite)
        if count in counts_shown:
            children.append(count - first)
            for task, archive in population.archives.items():
                qd_score[task].append(archive.qd_score)
                coverage[task].append(archive.coverage)
                best[task].append(archive.best)
            if not run.recipe.minimised:
                mean.append(_best_mean(population))
    return Curves(tuple(children), qd_score, coverage, best, mean)


def _best_mean(population: Population) -> float:
    elites = [elite for archive in population.archives.values() for elite in archive.elites]
    return max(fmean(elite.scores.values()) for elite in elites)


def _genome(run: RunView, index: int) -> Genome:
    return run.told[index].candidate.genome


def spaced(last: int, points: int = POINTS) -> list[int]:
    """List at most `points` whole numbers, evenly spaced, from 0 to `last` inclusive."""
    steps = min(last, points - 1)
    return [round(i * last / steps) for i in range(steps + 1)] if steps else [0]
