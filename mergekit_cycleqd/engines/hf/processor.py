"""Load the processor of a model that sees images."""

from __future__ import annotations

from typing import Any

from mergekit_cycleqd.checkpoints.advice import without_advice
from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError, first_line


def load_processor(base: Checkpoint, trust: bool) -> Any:
    """Load the processor of images and texts from a checkpoint's folder, without weights.

    Args:
        base: The checkpoint.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If there is none, or a library is missing that it needs.
    """
    from transformers import AutoProcessor

    try:
        with without_advice():
            processor = AutoProcessor.from_pretrained(base.folder, trust_remote_code=trust)
    except Exception as error:  # whatever a broken file makes of the libraries below
        raise ModelError(
            f"{base.name}: tasks with images need the settings of its processor beside its "
            f"weights, and libraries that it takes ({type(error).__name__}: "
            f"{first_line(error, 300)})"
        ) from error
    if not (hasattr(processor, "image_processor") and hasattr(processor, "tokenizer")):
        raise ModelError(
            f"{base.name}: tasks with images need a processor of images and texts, "
            f"preprocessor_config.json or processor_config.json beside its weights; transformers "
            f"finds {type(processor).__name__} alone"
        )
    return processor
