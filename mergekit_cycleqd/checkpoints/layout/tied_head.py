"""Whether a model's head is its embedding. Many config.json leave that to transformers' default."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from torch import nn

from mergekit_cycleqd.checkpoints.layout.known_config import known_config


def untie(head: str) -> str:
    """Say how a model must be saved so that its head can change alone."""
    return f"tie_word_embeddings: false and the embedding stored as {head} too"


def states_tied(config: Mapping[str, Any]) -> bool:
    """Whether a configuration ties head and embedding, by its key or by its class's default."""
    stated = config.get("tie_word_embeddings")
    if isinstance(stated, bool):
        return stated
    return bool(getattr(known_config(config), "tie_word_embeddings", False))


class Head(NamedTuple):
    """The loaded names of a language model's head and of its input embedding."""

    name: str
    embedding: str


def head_of(model: nn.Module | None) -> Head | None:
    """Find head and embedding of a language model; None if it lacks one, or they are tied.

    Args:
        model: A model of transformers, or None if its class is unknown.
    """
    try:
        parts = (model.get_output_embeddings(), model.get_input_embeddings())  # type: ignore
    except (AttributeError, NotImplementedError):
        return None
    weights = [getattr(part, "weight", None) for part in parts]
    if model is None or weights[0] is None or weights[1] is None or weights[0] is weights[1]:
        return None
    names = {id(tensor): name for name, tensor in model.state_dict(keep_vars=True).items()}
    return Head(names[id(weights[0])], names[id(weights[1])])
