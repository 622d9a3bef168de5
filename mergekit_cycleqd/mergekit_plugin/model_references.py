"""The models that a configuration of mergekit names: folders, ids of the Hub, or neither."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mergekit.common import ModelReference
from mergekit.config import MergeConfiguration

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.quantized import (
    quantization_settings,
    quantized_fault,
    refusal,
)
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import is_hub_id


def nowhere(config: MergeConfiguration) -> Iterator[str]:
    """List the models that are neither a folder nor a possible Hub id, with what is needed."""
    for path, reference in _parts(config):
        if not os.path.isdir(path) and not is_hub_id(reference):
            yield f"needs a model folder or a Hub id org/name, got {reference!r}"


def taken_as_ids(config: MergeConfiguration) -> str:
    """The end of a message about the Hub: which models are looked for there, for lack of a folder.

    A misspelt folder looks like an id. Without this the message would only tell of the Hub.
    """
    ids = {reference for path, reference in _parts(config) if not os.path.isdir(path)}
    return f" (no folder here has the name {' or '.join(sorted(ids))})" if ids else ""


def quantized_folders(config: MergeConfiguration) -> list[str]:
    """List the models in folders that are quantised, a line each. Adapters count by their base."""
    faults: dict[str, str] = {}
    for key, model in _keys(config):
        path = model.model.path
        if path in faults or not (Path(path) / "config.json").is_file():
            continue
        try:
            fault = quantized_fault(Checkpoint(path, Path(path)))
        except ModelError:  # what cannot be read here mergekit may read, or refuse
            continue
        if fault:
            faults[path] = f"{key}: {path}: {fault}"
    return list(faults.values())


def refuse_quantized_ids(config: MergeConfiguration, trust_remote_code: bool) -> None:
    """See that no model on the Hub is quantised, by its config.json, before its weights come.

    Raises:
        ModelError: If one is.
    """
    for key, model in _keys(config):
        path = model.model.path
        if not os.path.isdir(path):
            for where, method in quantization_settings(model.config(trust_remote_code).to_dict()):
                fault = refusal(f"{method} ({where} in config.json)")
                raise ModelError(f"{key}: {path}: {fault}")


def _keys(config: MergeConfiguration) -> Iterator[tuple[str, ModelReference]]:
    """All models with their keys in the configuration. Inside of slices the key is `model`."""
    named = {"base_model": config.base_model}
    named |= {f"models[{i}].model": entry.model for i, entry in enumerate(config.models or ())}
    found = {key: model for key, model in named.items() if model is not None}
    yield from found.items()
    for model in sorted(config.referenced_models(), key=str):
        if model not in found.values():
            yield "model", model


def _parts(config: MergeConfiguration) -> Iterator[tuple[str, str]]:
    """Path, and path with revision, of every model; of ``base+adapter`` both parts."""
    for model in config.referenced_models():
        for part in filter(None, (model.model, model.lora)):
            yield part.path, part.path + (f"@{part.revision}" if part.revision else "")
