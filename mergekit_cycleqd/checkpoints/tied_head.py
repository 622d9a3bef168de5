"""Whether a model's head is its embedding. Many config.json leave that to transformers' default."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint

EMBEDDINGS = ("embed_tokens.weight", "wte.weight", "word_embeddings.weight", "embeddings.weight")
"""How the names of input embeddings end."""

UNTIE = "tie_word_embeddings: false and the embedding stored as lm_head.weight too"
"""How a base must be saved so that its head can change alone."""


def states_tied(config: Mapping[str, Any]) -> bool:
    """Whether a configuration ties head and embedding, by its key or by its class's default."""
    stated = config.get("tie_word_embeddings")
    if isinstance(stated, bool):
        return stated
    from transformers import AutoConfig

    settings = {key: value for key, value in config.items() if key != "model_type"}
    try:
        known = AutoConfig.for_model(str(config.get("model_type")), **settings)
    except Exception:  # no class here, or one that refuses a value; loading will say which
        return False
    return bool(getattr(known, "tie_word_embeddings", False))


def head_names(names: Iterable[str]) -> set[str]:
    """Select the heads of language models among names of tensors."""
    return {name for name in names if name.endswith("lm_head.weight")}


def is_tied(model: Checkpoint) -> bool:
    """Whether transformers ties head and embedding when it loads a checkpoint.

    It does not if both are stored and differ, whatever the configuration says.
    """
    if not states_tied(model.config):
        return False
    for head in head_names(model.headers):
        for name, header in model.headers.items():
            same = name.endswith(EMBEDDINGS) and header.shape == model.headers[head].shape
            if same and (model.folder / header.file).is_file():
                stored = (Checkpoint.tensor(model, part) for part in (head, name))
                return torch.equal(*stored)
    return True
