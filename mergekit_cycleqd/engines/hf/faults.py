"""What the engine `hf` lacks on this machine, told without importing the engine itself."""

from __future__ import annotations

from mergekit_cycleqd.engines.device import device_faults
from mergekit_cycleqd.recipe.engine import Engine


def faults(engine: Engine) -> list[str]:
    """What is missing here for the engine, a line each, before anything is loaded."""
    found = device_faults(engine)
    if found or engine.batching != "continuous":
        return found
    from mergekit_cycleqd.engines.hf.continuous import continuous_faults

    return [f"engine.batching: continuous {fault}" for fault in continuous_faults()]
