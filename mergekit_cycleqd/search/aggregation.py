"""Aggregation: combine elites of all archives into one model, and rank elites for it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import aggregate, combine
from mergekit_cycleqd.recipe.aggregation import BestOfEach, Recombination
from mergekit_cycleqd.search.archive import Elite, TaskArchive


def best_first(archive: TaskArchive) -> list[Elite]:
    """Sort the elites of one archive, best first.

    Elites with equal scores on the task are sorted by their mean over all tasks, then by age. So
    an expert that has only one skill comes after a merge that keeps this skill and has others.
    """
    return sorted(
        archive.elites,
        key=lambda e: (
            -archive.worth.of(archive.task, e.scores[archive.task]),
            -archive.worth.total(e.scores),
            e.index,
        ),
    )


def all_rounders(archives: Mapping[str, TaskArchive]) -> list[Elite]:
    """Sort the elites of all archives, each once, by their mean over the tasks, highest first.

    Raises:
        SearchError: If the archives are empty.
    """
    elites = {elite.index: elite for archive in archives.values() for elite in archive.elites}
    if not elites:
        raise SearchError("no elites: the archives are empty")
    worth = next(iter(archives.values())).worth
    return sorted(elites.values(), key=lambda e: (-worth.total(e.scores), e.index))


def aggregated_elites(
    how: BestOfEach | Recombination, archives: Mapping[str, TaskArchive]
) -> list[Elite]:
    """Choose the elites that the aggregate is made of.

    All are of the family of the best all-round elite. Archives may hold models of plain task
    vectors and of task singular vectors, which have no linear combination.

    Args:
        how: The recipe's `evolution.aggregation`.
        archives: The archive of each task.

    Returns:
        The best elite of each archive, or with `Recombination` the best all-round elites first.

    Raises:
        SearchError: If the archives are empty.
    """
    if isinstance(how, Recombination):
        ranked = all_rounders(archives)
        return _of_same_family(ranked, ranked[0])[: how.elites]
    return [elite for _, elite in _best_of_each(archives)]


def _best_of_each(archives: Mapping[str, TaskArchive]) -> list[tuple[str, Elite]]:
    """Task and best elite of each archive that has an elite of the family."""
    first = all_rounders(archives)[0]
    found = {
        task: _of_same_family(best_first(archive), first) for task, archive in archives.items()
    }
    return [(task, elites[0]) for task, elites in found.items() if elites]


def _of_same_family(elites: Sequence[Elite], one: Elite) -> list[Elite]:
    """The elites that can be combined with `one`, since they have its family."""
    return [elite for elite in elites if elite.genome.family == one.genome.family]


def aggregate_model(how: BestOfEach | Recombination, archives: Mapping[str, TaskArchive]) -> Genome:
    """Make the aggregate, a linear combination of elites.

    `BestOfEach` takes the best elite of each archive, with the softmax of their qualities as
    coefficients (paper, section 3.4); a score that is better when lower counts by its `Worth`.
    `Recombination` takes the best all-round elites. Their coefficients are those with which CMA-ES
    recombines parents: ``ln(n + 1/2) - ln(i)`` for the i-th of n, normalised (arXiv:1604.00772,
    equation 49).

    Raises:
        SearchError: If the archives are empty.
    """
    if isinstance(how, BestOfEach):
        best = _best_of_each(archives)
        qualities = [archives[task].worth.of(task, e.scores[task]) for task, e in best]
        return aggregate([e.genome for _, e in best], qualities)
    genomes = [elite.genome for elite in aggregated_elites(how, archives)]
    weights = [math.log(len(genomes) + 0.5) - math.log(i + 1) for i in range(len(genomes))]
    total = math.fsum(weights)
    return combine(genomes, [weight / total for weight in weights])
