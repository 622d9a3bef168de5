"""The tasks of a run, behind one interface whatever scores them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.records import Split


class Harness(ABC):
    """The tasks of a recipe, loaded once and scored for any number of genomes."""

    @abstractmethod
    def sizes(self, split: Split) -> dict[str, int]:
        """How many samples each task has in a split; tasks without any are left out."""

    @abstractmethod
    def evaluate(self, model: Any, split: Split) -> dict[str, float]:
        """Score the model that an engine holds now.

        Args:
            model: The engine's `model`; always the same object, whatever its weights.
            split: Which samples.

        Returns:
            The recipe's metric of each task that has samples in the split.

        Raises:
            CycleQDError: If a task reports no number.
        """


def open_harness(recipe: Recipe) -> Harness:
    """Load the tasks of a recipe and check metrics and sample ids, without any model.

    Raises:
        RecipeError: With one line per fault, each with the path to its key.
    """
    from mergekit_cycleqd.evaluators.lm_harness import LMHarness  # seconds to import

    return LMHarness(recipe.tasks)
