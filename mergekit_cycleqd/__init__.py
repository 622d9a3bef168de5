"""CycleQD for mergekit: evolve merges of expert models by quality diversity.

Importing this package makes `merge_method: cycleqd` known to mergekit as soon as mergekit is
imported, and imports nothing heavy itself.
"""

from mergekit_cycleqd.system import working_folder

working_folder.take_off_path()

# isort: split
from importlib import import_module
from typing import TYPE_CHECKING, Any

from mergekit_cycleqd.errors import (
    CycleQDError,
    GenomeError,
    JournalError,
    ModelError,
    RecipeError,
    SearchError,
)
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import aggregate, crossover, mutate
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.mergekit_plugin import registration

if TYPE_CHECKING:
    from mergekit_cycleqd.notebook.open_run import Run, open_run
    from mergekit_cycleqd.recipe.load import load_recipe
    from mergekit_cycleqd.recipe.recipe import Recipe
    from mergekit_cycleqd.search.archive import Elite
    from mergekit_cycleqd.search.candidate import Candidate
    from mergekit_cycleqd.search.cycleqd import CycleQD

__all__ = [
    "Candidate",
    "CycleQD",
    "CycleQDError",
    "Elite",
    "Family",
    "Genome",
    "GenomeError",
    "JournalError",
    "ModelError",
    "Recipe",
    "RecipeError",
    "Run",
    "SearchError",
    "Term",
    "aggregate",
    "crossover",
    "load_recipe",
    "mutate",
    "open_run",
]

_WHEN_ASKED_FOR = {  # they need pydantic, which genomes and their weights do without
    "Candidate": "search.candidate",
    "CycleQD": "search.cycleqd",
    "Elite": "search.archive",
    "Recipe": "recipe.recipe",
    "Run": "notebook.open_run",
    "load_recipe": "recipe.load",
    "open_run": "notebook.open_run",
}

registration.with_mergekit()


def __getattr__(name: str) -> Any:
    if name not in _WHEN_ASKED_FOR:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHEN_ASKED_FOR[name]}"), name)
