"""Find the tensors of a family that mergekit does not merge, by the headers, before it runs.

mergekit merges the tensors in its list of an architecture. It leaves out all others without a word,
and stops at a tensor in the list that a checkpoint lacks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import nn

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.merge_names import DescribedWeight, described_weights
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.errors import first_names


def beyond_mergekit(layout: MergeLayout, experts: Sequence[Checkpoint]) -> list[str]:
    """List the tensors that mergekit leaves out, or that it looks for in vain.

    Args:
        layout: The tensors of the base.
        experts: The experts.

    Returns:
        Names of tensors. Empty if mergekit merges the whole model.
    """
    base, config = layout.base, getattr(layout.model, "config", None)
    classes = base.config.get("architectures")
    if not isinstance(classes, list) or len(classes) != 1:
        return layout.names  # mergekit needs the name of one class
    weights = described_weights(classes, config)
    if weights is None and any(isinstance(expert, LoRAExpert) for expert in experts):
        return layout.names  # mergekit looks into the files of all models, before it adapts them
    if weights is None:
        weights = [
            DescribedWeight(name, (), required) for name, required in _inferred(layout, config)
        ]
    whole = [base, *(expert for expert in experts if not isinstance(expert, LoRAExpert))]
    found = _times_found(layout, weights, whole)
    merged = {weight.name for weight in weights if found[weight.name] == len(whole)}
    merged &= layout.loads_from(merged)  # a new name may be one that transformers does not read
    left_out = [name for name in layout.names if name not in merged]
    # It stops at a required tensor, and merges an optional one of the models that have it.
    partial = [
        weight.name
        for weight in weights
        if weight.name not in merged and (weight.required or found[weight.name])
    ]
    return [*left_out, *(name for name in partial if name not in left_out)]


def describe_beyond(layout: MergeLayout, beyond: Sequence[str]) -> str:
    """Say which tensors mergekit does not merge.

    Args:
        layout: The tensors of the base.
        beyond: Result of `beyond_mergekit`.
    """
    kind = (layout.base.config.get("architectures") or ["this model"])[0]
    return (
        f"mergekit does not merge {len(beyond)} of {len(layout.names)} tensors of {kind} "
        f"({first_names(beyond)})"
    )


def _times_found(
    layout: MergeLayout, weights: Sequence[DescribedWeight], models: Sequence[Checkpoint]
) -> dict[str, int]:
    """Count the models in which mergekit finds each tensor, by name or by a conversion."""
    from mergekit.architecture.conversion import can_convert_checkpoint_keys

    sources = [layout.sources(model) for model in models]
    stored = {name for model in models for name in model.headers}

    def skips(weight: DescribedWeight) -> bool:
        return not weight.required and not stored.intersection((weight.name, *weight.aliases))

    def reads(k: int, weight: DescribedWeight) -> bool:
        known = (weight.name, *weight.others)
        if any(name in models[k].headers for name in known):
            return True
        loaded = layout.loaded_name(weight.name) or weight.name
        parts = {source.name for source in sources[k].get(loaded, ())}
        kind = models[k].config.get("model_type")
        return bool(parts) and any(can_convert_checkpoint_keys(kind, parts, name) for name in known)

    return {
        w.name: 0 if skips(w) else sum(reads(k, w) for k in range(len(models))) for w in weights
    }


def _inferred(layout: MergeLayout, config: Any) -> Iterator[tuple[str, bool]]:
    """Names that mergekit finds out for a model that it does not describe; is each required?

    It lays the model out by an auto class. If that fails it takes the names of the files. It then
    asks the model for its embeddings, and stops if there are none. Tensors that may be tied are
    not required.
    """
    from mergekit.architecture.auto import infer_vocabulary_axes
    from mergekit.common import get_auto_cls

    try:
        with torch.device("meta"):
            model = get_auto_cls(config.architectures[0]).from_config(config)
    except Exception:  # whatever the class makes of another's configuration
        yield from dict.fromkeys(layout.base.headers, True).items()
        return
    try:
        infer_vocabulary_axes(model)
    except (AttributeError, NotImplementedError):
        return
    tied = re.compile("|".join(_may_be_tied(model)) or "(?!)")
    yield from ((name, tied.search(name) is None) for name in layout.inferred)


def _may_be_tied(model: nn.Module) -> Iterator[str]:
    """Patterns of the names that a class of transformers may tie, as mergekit reads them."""
    for path, module in model.named_modules():
        for key in getattr(module, "_tied_weights_keys", None) or ():
            yield f"{path}.{key}" if path else key
