"""The tasks of a run, behind one interface whatever scores them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.search.early_stop import EntryThresholds

if TYPE_CHECKING:
    from mergekit_cycleqd.run_folder.example_masks import Example


class Harness(ABC):
    """The tasks of a recipe, loaded once and scored for any number of genomes.

    Attributes:
        illustrated: Whether `examples` shows any.
        steady: Names of the tasks that give a model the same score whenever it is evaluated on the
            same samples.
    """

    illustrated: bool = False
    steady: frozenset[str] = frozenset()

    @abstractmethod
    def sizes(self, split: Split) -> dict[str, int]:
        """How many samples each task has in a split; tasks without any are left out."""

    @abstractmethod
    def evaluate(
        self, model: Any, split: Split, floors: EntryThresholds | None = None, repeat: int = 0
    ) -> dict[str, float]:
        """Score the model that an engine holds now.

        Args:
            model: The engine's `model`; always the same object, whatever its weights.
            split: Which samples.
            floors: What has to be reached to be kept; None to go on to the end in any case.
            repeat: 0 for a model's first evaluation. A later one is on other samples where the
                recipe has some for it (`samples.again`), and other answers are drawn where answers
                are.

        Returns:
            The recipe's metric of each task that has samples in the split.

        Raises:
            CannotEnter: If no scores of the remaining samples can reach a floor; how often that is
                looked at is the harness's own choice.
            CycleQDError: If a task reports no number.
        """

    def examples(self, model: Any) -> list[Example]:
        """What the model that an engine holds now makes of a few samples, as pictures."""
        return []
