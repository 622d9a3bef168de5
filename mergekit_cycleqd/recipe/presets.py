"""What each `evolution.preset` sets; the keys of `PRESETS` are the names that a recipe may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

# What each preset sets; the schema's defaults are the paper's.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "paper": {},
    "released": {
        "crossover": {"std": 0.01},
        "mutation": {"kind": "gaussian", "std": 0.0003},
        "sampling": {"kind": "random"},
    },
    "best": {
        "crossover": {"kind": "iso_line"},
        "mutation": {"kind": "none"},
        "task_vectors": {"kinds": ["plain", "wudi"]},
        "founders": (0.3, 0.5, 0.7, 1.0),
        "screen": 256,
        "aggregation": {"kind": "recombination"},
    },
}

# What a preset set in earlier versions, whose runs go on with it.
EARLIER: Mapping[str, Mapping[str, Any]] = {"best": {"task_vectors": {"kind": "both"}}}


def over(preset: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """A recipe's keys over a preset's; a section that names its kind replaces the preset's."""
    merged = {**preset, **given}
    for key, section in preset.items():
        own = given.get(key)
        if isinstance(section, Mapping) and isinstance(own, Mapping):
            merged[key] = own if own.keys() & {"kind", "kinds"} else {**section, **own}
    return merged
