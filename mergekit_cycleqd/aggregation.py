"""One model out of all archives."""

from __future__ import annotations

import math
from collections.abc import Mapping

from mergekit_cycleqd.archive import Elite, TaskArchive
from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome import Genome, aggregate, combine
from mergekit_cycleqd.recipe_evolution import BestOfEach, Recombination


def best_first(archive: TaskArchive) -> list[Elite]:
    """The elites of one archive, best first.

    Of equals at the task the one that is better at all others together comes first, and then the
    older one: an expert that has nothing but its own skill is not the best that there is.
    """
    return sorted(
        archive.elites,
        key=lambda e: (-e.scores[archive.task], -math.fsum(e.scores.values()), e.index),
    )


def all_rounders(archives: Mapping[str, TaskArchive]) -> list[Elite]:
    """The elites of any archive, each once, the highest mean over the tasks first.

    Raises:
        SearchError: If the archives are empty.
    """
    elites = {elite.index: elite for archive in archives.values() for elite in archive.elites}
    if not elites:
        raise SearchError("no elites: the archives are empty")
    return sorted(elites.values(), key=lambda e: (-math.fsum(e.scores.values()), e.index))


def parents(how: BestOfEach | Recombination, archives: Mapping[str, TaskArchive]) -> list[Elite]:
    """The elites that the aggregate is made of: of each archive in turn, or the best first.

    Raises:
        SearchError: If the archives are empty.
    """
    ranked = all_rounders(archives)
    if isinstance(how, Recombination):
        return ranked[: how.elites]
    return [best_first(archive)[0] for archive in archives.values()]


def one_of_all(how: BestOfEach | Recombination, archives: Mapping[str, TaskArchive]) -> Genome:
    """The aggregate: a linear combination of elites.

    Of the best of each archive by softmax of their qualities (paper, section 3.4), or of the best
    all-round elites by the weights with which CMA-ES recombines parents, ``ln(n + 1/2) - ln(i)``
    for the i-th of n, normalised (arXiv:1604.00772, equation 49).

    Raises:
        SearchError: If the archives are empty.
    """
    elites = parents(how, archives)
    genomes = [elite.genome for elite in elites]
    if isinstance(how, BestOfEach):
        qualities = [e.scores[task] for e, task in zip(elites, archives, strict=True)]
        return aggregate(genomes, qualities)
    weights = [math.log(len(genomes) + 0.5) - math.log(i + 1) for i in range(len(genomes))]
    total = math.fsum(weights)
    return combine(genomes, [weight / total for weight in weights])
