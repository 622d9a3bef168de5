"""Check a recipe against its models and tasks before anything is loaded or written."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import (
    BASE,
    family_faults,
    in_task_order,
    open_models,
    references,
    with_vocabulary,
)
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.plan.preflight import preflight
from mergekit_cycleqd.recipe.recipe import Recipe


@dataclass(frozen=True)
class Prepared:
    """A recipe that was checked against its models and tasks.

    Attributes:
        recipe: The recipe of the run.
        base: The base model.
        experts: The experts, in the order of the tasks.
        harness: The run's tasks, loaded.
        warnings: What the user should know, one line each.
    """

    recipe: Recipe
    base: Checkpoint
    experts: tuple[Checkpoint, ...]
    harness: Harness
    warnings: tuple[str, ...] = ()


def prepare(path: Path, out: Path | None = None) -> Prepared:
    """Read a run recipe, and check all that can be checked before a model is loaded.

    Args:
        path: The recipe of a run.
        out: The folder of the run; None for the default.

    Raises:
        RecipeError: With one line per fault. Nothing was written or downloaded.
    """
    seen = preflight(path, out or Path("runs") / path.stem)
    if seen.faults or seen.recipe is None or seen.harness is None:
        raise RecipeError(seen.faults)
    recipe, harness, faults = seen.recipe, seen.harness, list[str]()
    here = seen.models.here
    away = {key: model for key, model in references(recipe).items() if key not in here}
    recipe, checkpoints = with_vocabulary(recipe, here | open_models(away, faults), faults)
    faults += family_faults(checkpoints)
    if faults:
        raise RecipeError([f"{path}: {fault}" for fault in faults])
    warnings = tuple(each.text for each in seen.findings if each.level == "warning")
    return Prepared(
        recipe, checkpoints[BASE], in_task_order(recipe, checkpoints), harness, warnings
    )
