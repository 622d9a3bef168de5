"""What runs the models: an engine owns one resident model and swaps its weights."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.genome import Genome

if TYPE_CHECKING:
    from mergekit_cycleqd.recipe.recipe import Engine


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


def open_engine(engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> ModelEngine:
    """Load the engine that a recipe names.

    Args:
        engine: The recipe's section.
        base: The base model.
        experts: The experts, in the order of a genome's weights.

    Raises:
        ModelError: If the models cannot be loaded.
    """
    try:
        if engine.kind == "vision":
            from mergekit_cycleqd.engines.vision import VisionEngine

            return VisionEngine(engine, base, experts)
        if engine.kind == "vllm":
            from mergekit_cycleqd.engines.vllm.engine import VLLMEngine

            return VLLMEngine(engine, base, experts)
        from mergekit_cycleqd.engines.hf.engine import HFEngine

        return HFEngine(engine, base, experts)
    except (ImportError, LookupError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{base.name}: cannot be loaded ({type(error).__name__}: {reason[:400]})"
        ) from error


def engine_faults(engine: Engine) -> list[str]:
    """What is missing here for an engine, a line each, before anything is loaded."""
    if engine.kind == "vllm":
        from mergekit_cycleqd.engines.vllm.engine import vllm_faults

        return vllm_faults(engine)
    from mergekit_cycleqd.engines.device import device_faults

    if faults := device_faults(engine):
        return faults
    if engine.batching == "continuous":
        from mergekit_cycleqd.engines.hf.continuous import missing

        return [f"engine.batching: continuous {fault}" for fault in missing()]
    return []
