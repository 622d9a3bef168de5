"""`mergekit-cycleqd eval MODEL --recipe`: one model on a recipe's tasks, as its run scores them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluate.loaded_model import loaded_model
from mergekit_cycleqd.evaluate.options import engine as changed
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.evaluators.open import base_faults, directed, numbered, open_harness
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.system.markdown import markdown_table


def evaluate_with_recipe(model: str, path: Path, split: Split, settings: Mapping[str, Any]) -> str:
    """Score a model with all settings of a recipe's tasks, and give a table.

    Args:
        model: A Hub id, a folder, or the recipe of a model. It may be none of the recipe's.
        path: The recipe of a run. Its models are not read.
        split: Which samples of the tasks.
        settings: Keys of the recipe's section `engine` that the user changed.

    Raises:
        RecipeError: With one line per fault of the recipe, its tasks or its engine.
        CycleQDError: If the model cannot be had, or a task cannot be scored.
    """
    recipe = load_recipe(path)
    engine = changed(settings, recipe.engine)
    harness = _harness(recipe, path, split)
    recipe, _, against = directed(recipe, harness)
    for text in numbered(recipe, (*harness.warnings, *against)):
        print(f"warning: {text}", file=sys.stderr)
    lm = loaded_model(model, engine, lambda base: _check_base(recipe, harness, engine, base))
    scores = harness.evaluate(lm, split)
    sizes = harness.sizes(split)
    rows = [
        (
            task.name,
            task.task,
            task.metric_name + ", lower is better" * task.minimised,
            str(sizes[task.name]),
            f"{scores[task.name]:.4f}",
        )
        for task in recipe.tasks
        if task.name in scores
    ]
    head = ("name", "task", "metric", f"{split} samples", "score")
    return markdown_table(head, rows, texts=3)


def _harness(recipe: Recipe, path: Path, split: Split) -> Harness:
    """Load the tasks of a recipe, of which some have samples in a split."""
    try:
        harness = open_harness(recipe)
    except RecipeError as error:
        raise RecipeError([f"{path}: {fault}" for fault in error.faults]) from error
    if not harness.sizes(split):
        raise RecipeError([f"{path}: --{split}: no task of it has samples.{split}"])
    return harness


def _check_base(recipe: Recipe, harness: Harness, engine: Engine, base: Checkpoint) -> None:
    """See that each task can be scored with a model."""
    if faults := base_faults(recipe, harness, engine, base):
        raise RecipeError(faults)
