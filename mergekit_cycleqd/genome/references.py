"""References to models: a folder, a Hub id, or `base+adapter`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

_WEIGHTS = (".safetensors", ".gguf", ".bin", ".pt", ".pth", ".ckpt", ".h5", ".msgpack", ".onnx")
_HUB_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*(/[\w.-]+)?(@[\w./-]+)?", re.ASCII)
"""The Hub takes no other letters; one that looks like an ASCII letter means another repository."""


def is_hub_id(reference: str) -> bool:
    """Whether a reference has the form of a Hub id and no folder here has that name."""
    here = os.path.isdir(reference) or is_weight_file(reference)
    return not here and has_form_of_hub_id(reference)


def has_form_of_hub_id(reference: str) -> bool:
    """Whether a reference has the form of a Hub id, whatever folders there are here."""
    return _HUB_ID.fullmatch(reference) is not None


PROPOSAL = "is a proposal to that repo, which anybody may make; take a branch or a commit of it"


def is_proposal(reference: str) -> bool:
    """Whether a reference means no revision of a repo's owner, but a pull request to it."""
    return "refs/pr/" in reference.partition("@")[2]


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


def as_mergekit_reads(named: Sequence[str]) -> Any:
    """Write the parts of a reference so that mergekit takes a folder's name as it is.

    It takes ``@`` and ``+`` of a text for the marks of a revision and of an adapter.

    Args:
        named: The model, and its adapter if there is one.

    Returns:
        A text, or a mapping of `model` and `lora` if the name of a folder has such a mark.
    """
    if not any(os.path.isdir(part) and set("@+") & set(part) for part in named):
        return "+".join(named)
    return {key: _as_path(part) for key, part in zip(("model", "lora"), named, strict=False)}


def _as_path(part: str) -> dict[str, str]:
    path, _, revision = (part, "", "") if os.path.isdir(part) else part.partition("@")
    return {"path": path} | ({"revision": revision} if revision else {})


def with_folders(
    content: Any,
    folder_of: Callable[[str], str],
    written: Callable[[Sequence[str]], Any] = "+".join,
) -> Any:
    """Replace every reference in a model recipe.

    Args:
        content: The recipe as plain data.
        folder_of: Gives the new reference of a model, or of each part of ``base+adapter``.
        written: Writes a reference of one or two parts.
    """
    if isinstance(content, list):
        return [with_folders(item, folder_of, written) for item in content]
    if not isinstance(content, Mapping):
        return content
    return {
        key: _replaced(value, folder_of, written)
        if key in ("model", "base_model")
        else with_folders(value, folder_of, written)
        for key, value in content.items()
    }


def _replaced(
    reference: Any, folder_of: Callable[[str], str], written: Callable[[Sequence[str]], Any]
) -> Any:
    text = as_text(reference)
    if isinstance(text, str):
        return written([folder_of(part) for part in parts(text)])
    return with_folders(reference, folder_of, written)
