"""Recipes of short runs over the tiny family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from mergekit_cycleqd.genome.family import Family
from tests.support.families import COLOURS

TASKS = Path(__file__).parent / "tasks"
NAMES = Family("org/base", tuple(f"org/{colour}" for colour in COLOURS))
Change = Callable[[dict[str, Any]], object]


def write_run_recipe(path: Path, family: Family, change: Change = lambda content: None) -> Path:
    """Write the recipe of a short run over the tiny family, with changes to its content."""
    content: dict[str, Any] = {
        "base_model": family.base_model,
        "experts": [
            {"model": model, "task": colour}
            for model, colour in zip(family.experts, COLOURS, strict=True)
        ],
        "tasks": [
            {
                "name": colour,
                "task": f"tiny_{colour}",
                "include_path": str(TASKS),
                "metric": "acc,none",
                "bins": 5,
                "samples": {"search": "0-23", "holdout": "24-"},
            }
            for colour in COLOURS
        ],
        "evolution": {"children": 12, "seed": 3},
        "engine": {"device": "cpu", "dtype": "float32"},
    }
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))
    return path


RecipeMaker = Callable[..., Path]


def use_function(content: dict[str, Any], **change: Any) -> None:
    """Let the second task of the tiny recipe be a function."""
    content["tasks"][1] = {
        "name": "green",
        "evaluator": "python",
        "task": "mine.py:norm",
        "metric": "norm",
        "samples": {"search": "0-2", "holdout": "3-9"},
        "confirm_run_unsafe_code": True,
        **change,
    }


TASK: dict[str, Any] = {"name": "a", "task": "t", "metric": "acc", "samples": {"search": "0-9"}}
"""The keys that a task needs, but for its place among others."""


def recipe_content(names: str = "abc", **given: Any) -> dict[str, Any]:
    content = {
        "base_model": "base",
        "experts": [{"model": f"expert-{name}", "task": name} for name in names],
        "tasks": [TASK | {"name": name} for name in names],
    }
    return content | given
