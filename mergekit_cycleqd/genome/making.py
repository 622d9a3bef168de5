"""How a child is made of its parents: a few numbers, from which its genome is computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import combine, mutate, mutate_own, shift
from mergekit_cycleqd.genome.terms import Term


@dataclass(frozen=True, slots=True)
class Making:
    """How a child is made: a linear combination of its parents, then a shift, then a mutation.

    Its size does not depend on how many ancestors a child has. A genome's does.

    Attributes:
        mix: Coefficient of each parent.
        shift: (K,) numbers added to the weights; empty for none.
        term: Term that is added; None for none.
        own: Seed and scale of a mutation along the child's own directions; None for none.
    """

    mix: tuple[float, ...]
    shift: tuple[float, ...] = ()
    term: Term | None = None
    own: tuple[int, float] | None = None

    def make(self, parents: Sequence[Genome]) -> Genome:
        """Compute the child's genome. A child has its first parent's kind of task vectors.

        Args:
            parents: One for each coefficient.

        Raises:
            GenomeError: If the parents cannot be combined, or the child cannot be mutated.
        """
        family = parents[0].family
        genome = combine(
            [p if p.family == family else _of_family(p, family) for p in parents], self.mix
        )
        if self.shift:
            genome = shift(genome, self.shift)
        if self.term is not None:
            genome = mutate(genome, self.term)
        if self.own is not None:
            genome = mutate_own(genome, *self.own)
        return genome


def _of_family(genome: Genome, family: Family) -> Genome:
    return Genome(family, genome.weights, genome.terms, genome.lineage, genome.groups)
