"""Lay out the tensors of a checkpoint without weights, from its config.json and its headers."""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path

import torch
from torch import nn
from transformers import AutoConfig

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.loading import Source
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.model_class import model_class
from mergekit_cycleqd.checkpoints.layout.stored_layout import StoredLayout
from mergekit_cycleqd.checkpoints.layout.tied_head import states_tied


@lru_cache(maxsize=4)
def lay_out(base: Checkpoint, trust: bool) -> MergeLayout:
    """Lay out a model on the meta device, once for each `Checkpoint`.

    Args:
        base: The checkpoint. Stored copies of tied tensors are compared, if they are here.
        trust: transformers' `trust_remote_code`.

    Raises:
        ModelError: If the configuration or a header cannot be read.
        ValueError: If transformers does not know the class, or its code is not trusted.
        OSError: If its code cannot be downloaded.
    """
    layout = MergeLayout(base, meta_model(base, trust))
    if own_copies(layout, base):
        text = json.dumps(base.config)
        return MergeLayout(base, _meta_model(base.folder, text, trust, None, tied=False))
    return layout


def lay_out_if_known(base: Checkpoint) -> MergeLayout | StoredLayout:
    """Lay out a model; a model whose code is in its repository by the names in its files.

    Raises:
        ModelError: If the configuration or a header cannot be read.
    """
    try:
        return lay_out(base, trust=False)
    except (OSError, ValueError, ImportError):
        return StoredLayout(base)


def own_copies(layout: MergeLayout | StoredLayout, model: Checkpoint) -> list[str]:
    """List the tied tensors of a layout that a checkpoint stores with values of their own.

    transformers does not tie them then, whatever the configuration says. If the weights are not
    here, the configuration decides.

    Args:
        layout: The tensors of the base.
        model: The base or an expert.

    Returns:
        Stored names of such tensors.
    """
    sources = layout.sources(model) if layout.tied else {}
    return [
        sources[copy][0].name
        for copy, kept in layout.tied.items()
        if copy in sources and kept in sources and _differ(model, sources[copy], sources[kept])
    ]


def _differ(model: Checkpoint, ours: tuple[Source, ...], theirs: tuple[Source, ...]) -> bool:
    if len(ours) > 1 or len(theirs) > 1:
        return False
    names = (ours[0].name, theirs[0].name)
    if not all((model.folder / model.headers[name].file).is_file() for name in names):
        return not states_tied(model.config)
    return not torch.equal(*(Checkpoint.tensor(model, name) for name in names))


def meta_model(base: Checkpoint, trust: bool, dtype: torch.dtype | None = None) -> nn.Module:
    """Make the model of a checkpoint on the meta device, without weights.

    Args:
        base: The checkpoint; only its config.json is read.
        trust: transformers' `trust_remote_code`.
        dtype: Dtype of the weights; None for torch's default.

    Raises:
        ValueError: If transformers does not know the class, or its code is not trusted.
        OSError: If its code cannot be downloaded.
    """
    return _meta_model(base.folder, json.dumps(base.config), trust, dtype)


@lru_cache(maxsize=4)
def _meta_model(
    folder: Path, config_text: str, trust: bool, dtype: torch.dtype | None, *, tied: bool = True
) -> nn.Module:
    """Make a model without weights. Layouts of the same model share it, and only read it.

    Args:
        folder: The model's folder.
        config_text: Its config.json, so that a changed file is another model.
        trust: transformers' `trust_remote_code`.
        dtype: Dtype of the weights; None for torch's default.
        tied: False if tensors that the configuration ties are to be apart.
    """
    config = AutoConfig.from_pretrained(folder, trust_remote_code=trust)
    if not tied:
        config.tie_word_embeddings = False
    made_by = model_class(json.loads(config_text), trust)
    with torch.device("meta"):
        model: nn.Module = made_by.lay_out(config, dtype)
    return model
