"""Crossover, mutation and aggregation of genomes, all linear in weights and terms."""

from __future__ import annotations

import math
from collections.abc import Sequence

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import combine_groups
from mergekit_cycleqd.genome.lineage import Mutation, canonical_parts, weighted_sum
from mergekit_cycleqd.genome.terms import Term, with_term


def combine(genomes: Sequence[Genome], coefficients: Sequence[float]) -> Genome:
    """Combine genomes of one family linearly, exactly on weights and terms.

    Args:
        genomes: One or more genomes.
        coefficients: One per genome.


    Raises:
        GenomeError: If there are no genomes, or they are of different families, or have different
            groups of tensors.
    """
    families = {genome.family for genome in genomes}
    if len(families) != 1:
        raise GenomeError(f"needs genomes of one family, got {len(families)} families")
    pairs = list(zip(coefficients, genomes, strict=True))
    weights = zip(*([c * weight for weight in genome.weights] for c, genome in pairs), strict=True)
    return Genome(
        families.pop(),
        tuple(math.fsum(column) for column in weights),
        tuple(
            Term(term.expert, term.seed, c * term.scale)
            for c, genome in pairs
            for term in genome.terms
        ),
        weighted_sum([(c, genome.lineage) for c, genome in pairs]),
        combine_groups([(c, genome.weights, genome.groups) for c, genome in pairs]),
    )


def crossover(first: Genome, second: Genome, w1: float, w2: float) -> Genome:
    """Cross two genomes: ``a * first + (1 - a) * second``, ``a = w1 / (w1 + w2)`` (section 3.2).

    Args:
        first: A parent.
        second: Another parent of the same family.
        w1: Drawn weight of the first parent; may be negative.
        w2: Drawn weight of the second parent.

    Raises:
        GenomeError: If the weights cancel, or the families differ.
    """
    if w1 + w2 == 0:
        raise GenomeError(f"crossover weights must not cancel, got {w1} and {w2}")
    a = w1 / (w1 + w2)
    return combine((first, second), (a, 1 - a))


def shift(genome: Genome, by: Sequence[float]) -> Genome:
    """Add (K,) numbers to the weights of a genome, in all groups of tensors."""
    weights = tuple(weight + step for weight, step in zip(genome.weights, by, strict=True))
    groups = genome.groups.shifted(by) if genome.groups else genome.groups
    return Genome(genome.family, weights, genome.terms, genome.lineage, groups)


def mutate(genome: Genome, term: Term) -> Genome:
    """Add a term to a genome: SVD-based mutation along an expert's directions, or noise."""
    terms = with_term(genome.terms, term)
    return Genome(genome.family, genome.weights, terms, genome.lineage, genome.groups)


def mutate_own(genome: Genome, seed: int, scale: float) -> Genome:
    """Mutate a genome along the singular directions of the genome's task vector (section 3.3).

    Raises:
        GenomeError: If the genome has terms or groups, which a lineage does not replay.
    """
    if genome.terms:
        raise GenomeError("a genome with mutation terms cannot be mutated along its own directions")
    if genome.groups:
        raise GenomeError("a genome with weights by groups of tensors has no lineage; use terms")
    mutation = Mutation(seed, scale, genome.weights, genome.lineage)
    return Genome(
        genome.family, genome.weights, (), canonical_parts([*genome.lineage, (mutation, 1.0)])
    )


def aggregate(genomes: Sequence[Genome], qualities: Sequence[float]) -> Genome:
    """Combine genomes with the softmax of their qualities as coefficients (paper, section 3.4).

    Args:
        genomes: The best genome of each archive.
        qualities: (N,) finite qualities of the genomes.

    Raises:
        GenomeError: If the families differ, or there are no genomes.
    """
    if not genomes:
        raise GenomeError("aggregation needs at least one genome, got none")
    top = max(qualities)
    powers = [math.exp(quality - top) for quality in qualities]
    return combine(genomes, [power / math.fsum(powers) for power in powers])
