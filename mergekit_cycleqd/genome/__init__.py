"""A model as numbers: family, terms, operators, lineage, and mergekit's form of it."""

from mergekit_cycleqd.genome.genome import Genome

__all__ = ["Genome"]
