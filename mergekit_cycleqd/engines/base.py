"""The interface of engines. An engine holds one model in memory and replaces its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.genome import Genome

if TYPE_CHECKING:
    from mergekit_cycleqd.engines.backward.learner import Learner


class ModelEngine(ABC):
    """One model in memory, whose weights can be replaced by those of any genome of a family.

    Attributes:
        model: The object that tasks evaluate: an lm-eval model or a `Segmenter`. It stays the same
            when weights are replaced.
    """

    model: Any

    @abstractmethod
    def load(self, genome: Genome) -> None:
        """Replace the weights by those of `genome`."""

    def verify(self, genome: Genome) -> None:  # noqa: B027  (not every engine can)
        """Compare the model in memory, which is `genome`, with the files of base and experts.

        Raises:
            ModelError: If a tensor is another than the recipe describes.
        """

    def learner(self) -> Learner:
        """Give what fits the weights of experts.

        Raises:
            ModelError: If the engine gives no derivatives.
        """
        raise ModelError(f"{type(self).__name__} gives no derivatives, which a fit needs")

    def close(self) -> None:  # noqa: B027  (most engines end with their process)
        """Release what the engine holds outside this process."""
