"""CycleQD for mergekit: evolve merges of expert models by quality diversity.

Importing this package makes `merge_method: cycleqd` known to mergekit as soon as mergekit is
imported, and imports nothing heavy itself.
"""

from mergekit_cycleqd import registration
from mergekit_cycleqd.family import Family
from mergekit_cycleqd.genome import Genome, Term, aggregate, crossover, mutate
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.recipe_file import load_recipe
from mergekit_cycleqd.search import Candidate, CycleQD

__all__ = [
    "Candidate",
    "CycleQD",
    "Family",
    "Genome",
    "Recipe",
    "Term",
    "aggregate",
    "crossover",
    "load_recipe",
    "mutate",
]

registration.with_mergekit()
