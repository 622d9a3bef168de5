"""What runs the models: an engine owns one resident model and swaps its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

from mergekit_cycleqd.genome.genome import Genome


class ModelEngine(ABC):
    """One model in memory, whose weights are any genome's of a family.

    Attributes:
        model: What the tasks evaluate, always the same object whatever its weights are: an
            lm-eval model for language models, a `Segmenter` for models of images.
    """

    model: Any

    @abstractmethod
    def load(self, genome: Genome) -> None:
        """Replace the weights by those of `genome`."""

    def close(self) -> None:  # noqa: B027  (most engines end with their process)
        """Give free what the engine holds outside this process."""
