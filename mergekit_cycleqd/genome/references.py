"""References to models: a folder, a Hub id, or `base+adapter`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from typing import Any

_HUB_ID = re.compile(r"(?!.*\.\.)[A-Za-z0-9][\w.-]*(/[\w.-]+)?(@[\w./-]+)?")


def is_hub_id(reference: str) -> bool:
    """Whether a reference has the form of a Hub id and no folder here has that name."""
    return not os.path.isdir(reference) and _HUB_ID.fullmatch(reference) is not None


def is_adapted(reference: str) -> bool:
    """Whether a reference means a base and an adapter, ``base+adapter``."""
    return "+" in reference and not os.path.isdir(reference)


def is_remote(reference: str) -> bool:
    """Whether a model, or a part of ``base+adapter``, is on the Hub."""
    return any(map(is_hub_id, parts(reference)))


def parts(reference: str) -> list[str]:
    """Split a reference into its models: two for ``base+adapter``, else one."""
    return reference.split("+") if is_adapted(reference) else [reference]


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
        if key in ("model", "base_model") and isinstance(value, str)
        else with_folders(value, folder_of)
        for key, value in content.items()
    }


def _replaced(reference: str, folder_of: Callable[[str], str]) -> str:
    return "+".join(map(folder_of, parts(reference)))
