"""How the archives filled: their measures over the children, by offering all of them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.population import Population

POINTS = 500


@dataclass(frozen=True)
class Curves:
    """Measures of every archive after so many children.

    Attributes:
        children: (P,) ascending, P at most `POINTS`; 0 is after the experts alone.
        qd_score: (P,) per task, the sum of the elites' qualities.
        coverage: (P,) per task, the share of cells that hold an elite.
        best: (P,) per task, the highest quality.
    """

    children: tuple[int, ...]
    qd_score: Mapping[str, list[float]]
    coverage: Mapping[str, list[float]]
    best: Mapping[str, list[float]]

    @property
    def measures(self) -> dict[str, Mapping[str, list[float]]]:
        """The three measures by their names."""
        return {"QD score": self.qd_score, "Coverage": self.coverage, "Best score": self.best}


def curves(run: RunView) -> Curves | None:
    """The curves of a run; None before all its experts were told."""
    search = run.search
    if not search.archives_ready:
        return None
    told = run.candidates
    shown = {len(search.tasks) + n for n in spaced(len(told) - len(search.tasks))}
    unneeded = Genome.from_base(search.family)
    found = Curves((), *({task: [] for task in search.tasks} for _ in range(3)))
    children: list[int] = []
    experts: list[Elite] = []
    population = Population(run.recipe)
    for count, evaluation in enumerate(told, start=1):
        if evaluation.scores is not None and evaluation.index is not None:
            elite = Elite(evaluation.index, unneeded, evaluation.scores, evaluation.parents)
            if count <= len(search.tasks):
                experts.append(elite)
                population = Population(run.recipe, experts)
            elif evaluation.again is None:
                population.offer(elite)
            else:
                population.add_evaluation(evaluation.again, evaluation.scores)
        if count in shown:
            children.append(count - len(search.tasks))
            for task, archive in population.archives.items():
                found.qd_score[task].append(archive.qd_score)
                found.coverage[task].append(archive.coverage)
                found.best[task].append(archive.best)
    return Curves(tuple(children), found.qd_score, found.coverage, found.best)


def spaced(last: int, points: int = POINTS) -> list[int]:
    """At most `points` whole numbers from 0 to `last`, both included, evenly spaced."""
    steps = min(last, points - 1)
    return [round(i * last / steps) for i in range(steps + 1)] if steps else [0]
