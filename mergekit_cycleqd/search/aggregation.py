"""One model out of all archives."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import aggregate, combine
from mergekit_cycleqd.recipe.evolution import BestOfEach, Recombination
from mergekit_cycleqd.search.archive import Elite, TaskArchive


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


def aggregated_elites(
    how: BestOfEach | Recombination, archives: Mapping[str, TaskArchive]
) -> list[Elite]:
    """The elites that the aggregate is made of: of each archive in turn, or the best first.

    All are of one family, that of the best all-round elite: where plain task vectors and task
    singular vectors share the archives, models of the two kinds have no linear combination.

    Raises:
        SearchError: If the archives are empty.
    """
    if isinstance(how, Recombination):
        ranked = all_rounders(archives)
        return _of_same_family(ranked, ranked[0])[: how.elites]
    return [elite for _, elite in _best_of_each(archives)]


def _best_of_each(archives: Mapping[str, TaskArchive]) -> list[tuple[str, Elite]]:
    """Task and best elite of each archive; of one that has none of the family, nothing."""
    first = all_rounders(archives)[0]
    found = {
        task: _of_same_family(best_first(archive), first) for task, archive in archives.items()
    }
    return [(task, elites[0]) for task, elites in found.items() if elites]


def _of_same_family(elites: Sequence[Elite], one: Elite) -> list[Elite]:
    """Those whose genomes refer to what the genome of `one` refers to: they can be combined."""
    return [elite for elite in elites if elite.genome.family == one.genome.family]


def aggregate_model(how: BestOfEach | Recombination, archives: Mapping[str, TaskArchive]) -> Genome:
    """The aggregate: a linear combination of elites.

    Of the best of each archive by softmax of their qualities (paper, section 3.4), or of the best
    all-round elites by the weights with which CMA-ES recombines parents, ``ln(n + 1/2) - ln(i)``
    for the i-th of n, normalised (arXiv:1604.00772, equation 49).

    Raises:
        SearchError: If the archives are empty.
    """
    if isinstance(how, BestOfEach):
        best = _best_of_each(archives)
        return aggregate([e.genome for _, e in best], [e.scores[task] for task, e in best])
    genomes = [elite.genome for elite in aggregated_elites(how, archives)]
    weights = [math.log(len(genomes) + 0.5) - math.log(i + 1) for i in range(len(genomes))]
    total = math.fsum(weights)
    return combine(genomes, [weight / total for weight in weights])
