"""Tasks of lm-eval that show images, and what they need of a base and an engine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.processor import load_processor
from mergekit_cycleqd.engines.text_class import text_class
from mergekit_cycleqd.errors import ModelError, RecipeError
from mergekit_cycleqd.recipe.engine import ENGINES, Engine


def check_images(tasks: Mapping[str, Any], engine: Engine, base: Checkpoint) -> None:
    """See that tasks which show images can be scored.

    Args:
        tasks: lm-eval's objects of the tasks, by name.
        engine: What runs the models.
        base: The base model; only its configuration and its processor are read.

    Raises:
        RecipeError: With one line per task that cannot.
    """
    found = {name: image_fault(loaded, engine, base) for name, loaded in tasks.items()}
    if faults := [f"--tasks: {name!r} {fault}" for name, fault in found.items() if fault]:
        raise RecipeError(faults)


def image_fault(loaded: Any, engine: Engine, base: Checkpoint) -> str:
    """Say why a task cannot be scored for its images; empty if it shows none, or can be.

    Args:
        loaded: lm-eval's object of the task.
        engine: The recipe's section.
        base: The base model; only its configuration and its processor are read.
    """
    if not getattr(loaded, "MULTIMODAL", False):
        return ""
    if loaded.get_config("doc_to_audio") is not None:
        return "has sounds, which no engine takes; take another task"
    if loaded.OUTPUT_TYPE != "generate_until":
        return (
            "shows images and scores given answers, which lm-eval does for no model; take a task "
            "of output_type generate_until"
        )
    if not engine.traits.shows_images:
        takers = " or ".join(name for name, kind in ENGINES.items() if kind.shows_images)
        return f"shows images, which engine.kind: {engine.kind} does not; take {takers}"
    try:
        found = text_class(engine, base)
        if not found.sees_images:
            return (
                f"shows images, and {found.made_by.name} sees none; take a base of a class that is "
                "known to transformers' AutoModelForImageTextToText"
            )
        load_processor(base, engine.trust_remote_code)
    except ModelError as error:
        return f"shows images: {error}"
    return ""
