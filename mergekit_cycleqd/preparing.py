"""A recipe checked against its models and tasks, before anything is loaded or written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.engines import engine_faults
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.harness import Harness, open_harness
from mergekit_cycleqd.models import (
    BASE,
    family_faults,
    in_task_order,
    is_remote,
    open_models,
    references,
)
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.recipe_file import load_recipe


@dataclass(frozen=True)
class Prepared:
    """A recipe that was checked against its models and tasks."""

    recipe: Recipe
    base: Checkpoint
    experts: tuple[Checkpoint, ...]
    harness: Harness


def prepare(path: Path) -> Prepared:
    """Read a run recipe and check all that can be known before a model is loaded.

    Raises:
        RecipeError: With one line per fault; nothing was written.
    """
    recipe = load_recipe(path)
    faults: list[str] = []
    models = references(recipe)
    remote = {key: model for key, model in models.items() if is_remote(model)}
    here = {key: model for key, model in models.items() if key not in remote}
    checkpoints = open_models(here, faults)
    harness = None
    try:
        harness = open_harness(recipe)
    except RecipeError as error:
        faults += error.faults
    faults += engine_faults(recipe.engine)
    if not faults:  # nothing is downloaded for a recipe that cannot work
        checkpoints |= open_models(remote, faults)
    faults += family_faults(checkpoints)
    if faults or harness is None:
        raise RecipeError([f"{path}: {fault}" for fault in faults])
    return Prepared(recipe, checkpoints[BASE], in_task_order(recipe, checkpoints), harness)
