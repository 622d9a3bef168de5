"""Files of this package and of mergekit that were given to the wrong command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

Kind = Literal["run", "model", "evolve", "moe"]

_WHAT: Mapping[Kind, str] = {
    "run": "is the recipe of a run: search with `mergekit-cycleqd RECIPE`",
    "model": "is the recipe of a model: merge it with `mergekit-cycleqd merge RECIPE OUT`",
    "evolve": (
        "is a configuration of mergekit-evolve: make a recipe of it with "
        "`mergekit-cycleqd import-evolve FILE`"
    ),
    "moe": (
        "is a configuration of mergekit-moe, which joins experts to a mixture and merges none: "
        "build it with `mergekit-moe FILE OUT`"
    ),
}


def not_a_merge(content: Any) -> str:
    """Say why a file is no recipe of a model; empty if it may be one.

    Args:
        content: The plain content of the file.
    """
    if isinstance(content, list):
        return (
            f"must hold the keys of one merge, got a list of {len(content)}: put each into a file "
            "of its own and merge them in their order"
        )
    return other_kind(content, "model")


def kind_of(content: Any) -> Kind | None:
    """Recognise a file by its keys.

    Args:
        content: The plain content of the file.
    """
    if not isinstance(content, Mapping):
        return None
    experts = content.get("experts")
    sources = [e for e in experts if isinstance(e, Mapping)] if isinstance(experts, list) else []
    if "gate_mode" in content or any("source_model" in expert for expert in sources):
        return "moe"
    if "genome" in content:
        return "evolve"
    if "merge_method" in content:
        return "model"
    return "run" if "experts" in content else None


def other_kind(content: Any, wanted: Kind) -> str:
    """Say what a file is instead, and which command takes it. Empty if nothing else is known.

    Args:
        content: The plain content of the file.
        wanted: What the command needs.
    """
    kind = kind_of(content)
    return "" if kind is None or kind == wanted else _WHAT[kind]
