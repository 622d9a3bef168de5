"""References to models: a folder, a Hub id, or `base+adapter`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx")
_HUB_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*(/[\w.-]+)?(@[\w./-]+)?")


def is_hub_id(reference: str) -> bool:
    """Whether a reference has the form of a Hub id and no folder here has that name."""
    here = os.path.isdir(reference) or is_weight_file(reference)
    return not here and has_form_of_hub_id(reference)


def has_form_of_hub_id(reference: str) -> bool:
    """Whether a reference has the form of a Hub id, whatever folders there are here."""
    return _HUB_ID.fullmatch(reference) is not None


def is_weight_file(reference: str) -> bool:
    """Whether a reference names a file here with a model's weights, where a folder is needed."""
    return reference.lower().endswith(_WEIGHTS) and os.path.isfile(reference)


def is_adapted(reference: str) -> bool:
    """Whether a reference means a base and an adapter, ``base+adapter``."""
    return "+" in reference and not os.path.isdir(reference)


def is_remote(reference: str) -> bool:
    """Whether a model, or a part of ``base+adapter``, is on the Hub."""
    return any(map(is_hub_id, parts(reference)))


def parts(reference: str) -> list[str]:
    """Split a reference into its models: two for ``base+adapter``, else one."""
    return reference.split("+") if is_adapted(reference) else [reference]


def as_text(reference: Any) -> Any:
    """Write a model as a text, such as ``base@revision+adapter``.

    Args:
        reference: A model in one of mergekit's forms: a text, or a mapping of `model` and `lora`,
            each a text or a mapping of `path` and `revision`. Anything else is given back.
    """
    if not isinstance(reference, Mapping) or set(reference) - {"model", "lora"}:
        return reference
    found = []
    for part in (reference.get("model"), reference.get("lora")):
        named = part if isinstance(part, Mapping) else {"path": part}
        path, revision = named.get("path"), named.get("revision")
        if isinstance(path, str) and not set(named) - {"path", "revision"}:
            found.append(f"{path}@{revision}" if revision else path)
        elif part is not None or not found:
            return reference
    return "+".join(found)


def with_folders(content: Any, folder_of: Callable[[str], str]) -> Any:
    """Replace every reference in a model recipe.

    Args:
        content: The recipe as plain data.
        folder_of: Gives the new reference of a model, or of each part of ``base+adapter``.
    """
    if isinstance(content, list):
        return [with_folders(item, folder_of) for item in content]
    if not isinstance(content, Mapping):
        return content
    return {
        key: _replaced(value, folder_of)
        if key in ("model", "base_model")
        else with_folders(value, folder_of)
        for key, value in content.items()
    }


def _replaced(reference: Any, folder_of: Callable[[str], str]) -> Any:
    text = as_text(reference)
    if isinstance(text, str):
        return "+".join(map(folder_of, parts(text)))
    return with_folders(reference, folder_of)
