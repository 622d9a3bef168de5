"""The models that a configuration of mergekit names: folders, ids of the Hub, or neither."""

from __future__ import annotations

import os
from collections.abc import Iterator

from mergekit.config import MergeConfiguration

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


def _parts(config: MergeConfiguration) -> Iterator[tuple[str, str]]:
    """Path, and path with revision, of every model; of ``base+adapter`` both parts."""
    for model in config.referenced_models():
        for part in filter(None, (model.model, model.lora)):
            yield part.path, part.path + (f"@{part.revision}" if part.revision else "")
