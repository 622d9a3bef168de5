"""Whether a checkpoint is a model that takes images alone, from its config.json alone."""

from __future__ import annotations

import inspect
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.foreign_config import (
    kernel_fault,
    size_fault,
    weights_fault,
)
from mergekit_cycleqd.errors import ModelError


def image_class(base: Checkpoint) -> Any:
    """Find the class that the engine `vision` loads a model by.

    Args:
        base: The model; only its config.json is read.

    Raises:
        ModelError: If it is none of transformers' own classes, takes no images, or would let code
            of another repository run.
    """
    import transformers

    config = base.config
    if fault := kernel_fault(config) or weights_fault(config) or size_fault(config):
        raise ModelError(f"{base.name}: {fault}")
    names = base.config.get("architectures") or ["none"]
    kind = getattr(transformers, str(names[0]), None)
    if kind is None or not hasattr(kind, "forward"):
        raise ModelError(
            f"{base.name}: engine kind vision needs a model of one of transformers' own classes, "
            f"got {names[0]!r} as architectures in config.json"
        )
    parameters = inspect.signature(kind.forward).parameters
    if "pixel_values" not in parameters:
        raise ModelError(f"{base.name}: engine kind vision needs a model of images, got {names[0]}")
    return kind
