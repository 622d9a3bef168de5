"""The models that a configuration of mergekit names: folders, ids of the Hub, or neither."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from mergekit.common import ModelPath, ModelReference
from mergekit.config import MergeConfiguration

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.other_weights import (
    ADAPTER_CONFIG,
    adapter_alone,
    weight_file_fault,
)
from mergekit_cycleqd.checkpoints.quantized import (
    quantization_settings,
    quantized_fault,
    refusal,
)
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.references import is_hub_id, is_weight_file


def nowhere(config: MergeConfiguration) -> Iterator[str]:
    """List the models that are neither a folder nor a possible Hub id, with what is needed."""
    for path, reference in _parts(config):
        if not os.path.isdir(path) and not is_hub_id(reference):
            if is_weight_file(path):
                yield weight_file_fault(path)
            else:
                yield f"needs a model folder or a Hub id org/name, got {reference!r}"


def taken_as_ids(config: MergeConfiguration) -> str:
    """The end of a message about the Hub: which models are looked for there, for lack of a folder.

    A misspelt folder looks like an id. Without this the message would only tell of the Hub.
    """
    ids = {reference for path, reference in _parts(config) if not os.path.isdir(path)}
    return f" (no folder here has the name {' or '.join(sorted(ids))})" if ids else ""


def unmergeable_folders(config: MergeConfiguration) -> list[str]:
    """List the folders that cannot be merged, a line each: no models at all, or quantised ones.

    An adapter counts by its base.
    """
    faults: dict[str, str] = {}
    for key, model in _keys(config):
        path = model.model.path
        if path in faults or not os.path.isdir(path):
            continue
        found = Checkpoint(path, Path(path))
        try:
            _ = found.config
        except ModelError as error:
            faults[path] = f"{key}: {error}"
            continue
        try:
            fault = quantized_fault(found)
        except ModelError:  # weights that mergekit may read, or refuse
            continue
        if fault:
            faults[path] = f"{key}: {path}: {fault}"
    return list(faults.values())


def refuse_unmergeable_ids(config: MergeConfiguration, trust_remote_code: bool) -> None:
    """See that no model on the Hub is quantised or an adapter alone, before its weights come.

    Raises:
        ModelError: If one is.
    """
    for key, model in _keys(config):
        path = model.model.path
        if os.path.isdir(path):
            continue
        try:
            settings = model.config(trust_remote_code).to_dict()
        except (OSError, ValueError):
            if alone := _adapter_on_hub(model.model):
                raise ModelError(f"{key}: {path}: {alone}") from None
            raise
        for where, method in quantization_settings(settings):
            fault = refusal(f"{method} ({where} in config.json)")
            raise ModelError(f"{key}: {path}: {fault}")


def _adapter_on_hub(model: ModelPath) -> str:
    """Say how an adapter on the Hub is named; empty if the repo holds none."""
    from huggingface_hub import hf_hub_download

    from mergekit_cycleqd.system.hub_requests import guard_requests

    guard_requests()
    try:
        file = hf_hub_download(model.path, ADAPTER_CONFIG, revision=model.revision)
    except Exception:  # no such repo or file, or no answer; the first error tells more
        return ""
    return adapter_alone(str(model), Path(file).parent)


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
