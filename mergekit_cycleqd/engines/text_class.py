"""Whether a checkpoint is a model that answers texts, from its config.json alone."""

from __future__ import annotations

import inspect
from dataclasses import dataclass

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.model_class import (
    AUTO_CLASSES,
    CAUSAL,
    IMAGES,
    SEQ2SEQ,
    ModelClass,
    is_listed,
    model_class,
)
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.recipe.engine import Engine


@dataclass(frozen=True)
class TextClass:
    """The class of a model that answers texts.

    Attributes:
        made_by: Loads it.
        has_encoder: Whether an encoder reads the prompt and a decoder writes the answer.
        sees_images: Whether prompts may have images.
    """

    made_by: ModelClass
    has_encoder: bool
    sees_images: bool

    def __str__(self) -> str:
        parts = "answers texts by encoder and decoder" if self.has_encoder else "answers texts"
        return f"{self.made_by.name}: {parts}{', and sees images' if self.sees_images else ''}"


def text_class(engine: Engine, base: Checkpoint) -> TextClass:
    """Find the class that an engine loads a model of text by.

    Args:
        engine: The recipe's section.
        base: The model; only its config.json is read.

    Raises:
        ModelError: If transformers does not know its class, or it does not answer texts.
    """
    try:
        found = model_class(base.config, engine.trust_remote_code)
    except ValueError as error:
        raise ModelError(f"{base.name}: {error}") from None
    name = found.kind.__name__ if found.of_repository else found.name
    autos = {auto for auto in AUTO_CLASSES if auto == name or is_listed(name, auto)}
    if not autos:
        of_images = "pixel_values" in inspect.signature(found.kind.forward).parameters
        raise ModelError(
            f"{base.name}: engine.kind: {engine.kind} needs a model that answers texts, got {name} "
            f"in config.json; take one whose class is known to transformers' "
            f"{', '.join(AUTO_CLASSES[:-1])} or {AUTO_CLASSES[-1]}"
            + (", or engine.kind: vision for images alone" if of_images else "")
        )
    if inputs := _other_inputs(found):
        raise ModelError(
            f"{base.name}: engine.kind: {engine.kind} needs a model that answers texts alone, got "
            f"{name} in config.json, which always needs {', '.join(inputs)} too; take another one"
        )
    encoder = CAUSAL not in autos and _has_encoder(found, base)
    return TextClass(found, encoder, IMAGES in autos and not encoder)


def decoder_class(engine: Engine, base: Checkpoint) -> TextClass:
    """Find the class of a model for an engine that runs decoders alone.

    Args:
        engine: The recipe's section.
        base: The model; only its config.json is read.

    Raises:
        ModelError: If transformers does not know its class, or it is no decoder of texts.
    """
    found = text_class(engine, base)
    if found.has_encoder:
        raise ModelError(
            f"{base.name}: engine.kind: {engine.kind} runs decoders alone, and "
            f"{found.made_by.name} has an encoder; take engine.kind: hf"
        )
    return found


def _other_inputs(found: ModelClass) -> list[str]:
    """Names of the inputs, besides tokens, without which a class does nothing."""
    if found.of_repository:
        return []
    if found.kind.main_input_name != "input_ids":
        return [found.kind.main_input_name]
    _, *parameters = inspect.signature(found.kind.forward).parameters.values()
    return [p.name for p in parameters if p.default is p.empty and p.kind is not p.VAR_KEYWORD]


def _has_encoder(found: ModelClass, base: Checkpoint) -> bool:
    if found.of_repository:
        return bool(found.kind.__name__ == SEQ2SEQ)
    default = getattr(found.kind.config_class, "is_encoder_decoder", False)
    return bool(base.config.get("is_encoder_decoder", default))
