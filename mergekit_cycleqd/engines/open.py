"""Load the engine that a recipe names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError

if TYPE_CHECKING:
    from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.engines.base import ModelEngine


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
        from mergekit_cycleqd.engines.hf.continuous import continuous_faults

        return [f"engine.batching: continuous {fault}" for fault in continuous_faults()]
    return []
