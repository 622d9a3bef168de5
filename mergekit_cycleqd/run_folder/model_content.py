"""Digests of the models of a run, in its header: what the fingerprints of models leave out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

KEY = "content"
"""Key of a header: by the name of a model its digests; headers of earlier versions lack it."""

_WHAT = {"weights": "its weights", "texts": "its tokenizer, templates or settings"}


def content_of(header: Mapping[str, Any], model: str) -> Mapping[str, Any]:
    """The digests of a model in a header, which may be a stranger's; none if it says none."""
    known = header.get(KEY)
    found = known.get(model) if isinstance(known, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def other_content(was: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """Say what of a model is other than it was; None where not both digests of it are known."""
    for key, what in _WHAT.items():
        if was.get(key) and now.get(key) and was[key] != now[key]:
            return what
    return None


def renamed(header: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, dict[str, Any]]:
    """What a header says by the names of models, by others.

    Args:
        header: Of a journal.
        names: The new name of each model; what is said of others is left out.
    """
    return {
        key: {names[model]: value for model, value in header[key].items() if model in names}
        for key in ("fingerprints", KEY)
        if isinstance(header.get(key), Mapping)
    }
