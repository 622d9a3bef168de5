"""Load the engine that a recipe names: a row per kind, imported when it is used."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.recipe.engine import Engine


@dataclass(frozen=True, slots=True)
class Opener:
    """How a kind of engine is had.

    Attributes:
        open: Loads the engine, given the recipe's section, the base and the experts.
        faults: What is missing here for the engine, a line each, before anything is loaded.
        taken: Says what the engine takes a base for, by its config.json alone. Raises ModelError
            if it does not take it.
    """

    open: Callable[[Engine, Checkpoint, Sequence[Checkpoint]], ModelEngine]
    faults: Callable[[Engine], list[str]]
    taken: Callable[[Engine, Checkpoint], str]


def _hf(engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> ModelEngine:
    from mergekit_cycleqd.engines.hf.engine import HFEngine

    return HFEngine(engine, base, experts)


def _hf_faults(engine: Engine) -> list[str]:
    from mergekit_cycleqd.engines.hf.faults import faults

    return faults(engine)


def _hf_taken(engine: Engine, base: Checkpoint) -> str:
    from mergekit_cycleqd.engines.text_class import text_class

    return str(text_class(engine, base))


def _vllm(engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> ModelEngine:
    from mergekit_cycleqd.engines.vllm.engine import VLLMEngine

    return VLLMEngine(engine, base, experts)


def _vllm_faults(engine: Engine) -> list[str]:
    from mergekit_cycleqd.engines.vllm.engine import faults

    return faults(engine)


def _vllm_taken(engine: Engine, base: Checkpoint) -> str:
    from mergekit_cycleqd.engines.text_class import decoder_class

    return str(decoder_class(engine, base))


def _vision(engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> ModelEngine:
    from mergekit_cycleqd.engines.vision import VisionEngine

    return VisionEngine(engine, base, experts)


def _device_faults(engine: Engine) -> list[str]:
    from mergekit_cycleqd.engines.device import device_faults

    return device_faults(engine)


def _vision_taken(engine: Engine, base: Checkpoint) -> str:
    from mergekit_cycleqd.engines.image_class import image_class

    return f"{image_class(base).__name__}: takes images"


OPENERS: Mapping[str, Opener] = {
    "hf": Opener(_hf, _hf_faults, _hf_taken),
    "vllm": Opener(_vllm, _vllm_faults, _vllm_taken),
    "vision": Opener(_vision, _device_faults, _vision_taken),
}


def open_engine(engine: Engine, base: Checkpoint, experts: Sequence[Checkpoint]) -> ModelEngine:
    """Load the engine that a recipe names.

    Args:
        engine: The recipe's section.
        base: The base model.
        experts: The experts, in the order of a genome's weights.

    Raises:
        ModelError: If the models cannot be loaded.
    """
    base_class(engine, base)
    try:
        return OPENERS[engine.kind].open(engine, base, experts)
    except (ImportError, LookupError, OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ModelError(
            f"{base.name}: cannot be loaded ({type(error).__name__}: {reason[:400]})"
        ) from error


def engine_faults(engine: Engine) -> list[str]:
    """What is missing here for an engine, a line each, before anything is loaded."""
    return OPENERS[engine.kind].faults(engine)


def base_class(engine: Engine, base: Checkpoint) -> str:
    """Say what an engine takes a base for, by its config.json alone.

    Args:
        engine: The recipe's section.
        base: The base model.

    Raises:
        ModelError: If the engine does not take such a model.
    """
    return OPENERS[engine.kind].taken(engine, base)
