"""Activation checkpointing: layers are computed again in the backward pass, which saves memory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from torch import nn
from torch.utils.checkpoint import checkpoint
from transformers.modeling_layers import GradientCheckpointingLayer


@contextmanager
def checkpointed(model: nn.Module) -> Iterator[None]:
    """Keep the inputs of layers alone for the backward pass, while this context lasts.

    transformers' own switch works in training mode only, which would turn dropout on. A model whose
    class marks no layers keeps all activations.

    Args:
        model: A model of transformers.
    """
    layers = [layer for layer in model.modules() if isinstance(layer, GradientCheckpointingLayer)]
    before = [layer.__dict__.get("forward") for layer in layers]  # accelerate puts hooks there
    for layer in layers:
        layer.forward = partial(checkpoint, layer.forward, use_reentrant=False)
    try:
        yield
    finally:
        for layer, forward in zip(layers, before, strict=True):
            if forward is None:
                del layer.forward
            else:
                layer.forward = forward
