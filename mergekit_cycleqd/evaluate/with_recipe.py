"""`mergekit-cycleqd eval MODEL --recipe`: a model on a recipe's tasks, as its run scores them."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluate.loaded_model import loaded_model
from mergekit_cycleqd.evaluate.options import engine as changed
from mergekit_cycleqd.evaluators.base import Harness, Scored
from mergekit_cycleqd.evaluators.open import base_faults, directed, numbered, open_harness
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.paired import METHODS, difference, mean_difference
from mergekit_cycleqd.run_folder.sample_results import is_mean
from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.system.markdown import markdown_table
from mergekit_cycleqd.system.units import listed


def evaluate_with_recipe(
    model: str,
    path: Path,
    split: Split,
    settings: Mapping[str, Any],
    against: str | None = None,
) -> str:
    """Score a model with all settings of a recipe's tasks, and give a table.

    Args:
        model: A Hub id, a folder, or the recipe of a model. It may be none of the recipe's.
        path: The recipe of a run. Its models are not read.
        split: Which samples of the tasks.
        settings: Keys of the recipe's section `engine` that the user changed.
        against: Another such model, with which the first is compared sample by sample.

    Raises:
        RecipeError: With one line per fault of the recipe, its tasks or its engine.
        CycleQDError: If the model cannot be had, or a task cannot be scored.
    """
    recipe = load_recipe(path)
    engine = changed(settings, recipe.engine)
    harness = _harness(recipe, path, split)
    recipe, _, against_notes = directed(recipe, harness)
    for text in numbered(recipe, (*harness.warnings, *against_notes)):
        print(f"warning: {text}", file=sys.stderr)
    scores = _scored(model, recipe, harness, engine, split)
    sizes = harness.sizes(split)
    rows = [
        [
            task.name,
            task.task,
            task.metric_name + ", lower is better" * task.minimised,
            str(sizes[task.name]),
            f"{scores[task.name]:.4f}",
        ]
        for task in recipe.tasks
        if task.name in scores
    ]
    head = ["name", "task", "metric", f"{split} samples", "score"]
    if against is None:
        return markdown_table(head, rows, texts=3)
    # Anew, since prompts are made with the first model's chat template.
    others = _scored(against, recipe, _harness(recipe, path, split), engine, split)
    for row in rows:
        row += _beside(row[0], scores, others)
    head += ["against", "difference", "p", "higher", "lower"]
    return f"{markdown_table(head, rows, texts=3)}\n{_mean(recipe, scores, others)}"


def _scored(model: str, recipe: Recipe, harness: Harness, engine: Engine, split: Split) -> Scored:
    """Load a model and score it; its memory is free afterwards."""
    lm = loaded_model(model, engine, lambda base: _check_base(recipe, harness, engine, base))
    return harness.evaluate(lm, split)


def _beside(task: str, scores: Scored, others: Scored) -> list[str]:
    """The other model's score on a task, and what tells the two apart."""
    pair = _pair(task, scores, others)
    gap = None if pair is None else difference(*pair)
    cells = [str(gap), gap.chance, str(gap.higher), str(gap.lower)] if gap else ["–"] * 4
    return [f"{others[task]:.4f}", *cells]


def _pair(task: str, *found: Scored) -> tuple[SampleScores, SampleScores] | None:
    """What each sample of both models scored, where that makes the scores."""
    first, second = (
        values
        if (values := each.samples.get(task)) is not None and is_mean(values, each[task])
        else None
        for each in found
    )
    return None if first is None or second is None else (first, second)


def _mean(recipe: Recipe, scores: Scored, others: Scored) -> str:
    """In words how the means over tasks differ, and what cannot be compared."""
    names = [task.name for task in recipe.tasks if task.name in scores]
    pairs = {name: _pair(name, scores, others) for name in names}
    if missing := [name for name, pair in pairs.items() if pair is None]:
        return (
            f"Not compared sample by sample: {listed(missing)}. The evaluator tells no scores of "
            "samples, or the score is no mean of them."
        )
    gap = mean_difference([pair for pair in pairs.values() if pair is not None])
    if gap is None or recipe.minimised:
        return METHODS
    told = "On the mean over tasks the first model is"
    if gap.word == "level":
        return f"{told} level with the other. {METHODS}"
    chance = "" if gap.is_told else ", which may be chance"
    return f"{told} {gap.word} by {gap.by()}{chance}. {METHODS}"


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
