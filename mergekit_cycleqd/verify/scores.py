"""Score a model in memory and its merged folder on a few samples of a run's tasks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.open import open_engine
from mergekit_cycleqd.evaluators.open import open_harness
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe

SAMPLES = 8


def few_samples(recipe: Recipe) -> Recipe:
    """Reduce each task of a recipe to its first search samples.

    Raises:
        RecipeError: If a task cannot be opened.
    """
    tasks, sizes = [], open_harness(recipe).sizes("search")
    for task in recipe.tasks:
        search = task.samples.search.first(min(SAMPLES, sizes.get(task.name, SAMPLES)))
        others = dict.fromkeys(("holdout", "again", "fit"))
        samples = task.samples.model_copy(update={"search": search, **others})
        tasks.append(task.model_copy(update={"samples": samples}))
    return recipe.model_copy(update={"tasks": tasks})


def score_both(
    recipe: Recipe, genome: Genome, base: Checkpoint, experts: Sequence[Checkpoint], folder: Path
) -> tuple[dict[str, float], dict[str, float]]:
    """Score a model in memory, and the same model loaded from its folder.

    Args:
        recipe: The run, with as many samples as are to be scored.
        genome: The model.
        base: The base model.
        experts: The experts, in the order of the genome's weights.
        folder: The merged model.

    Returns:
        Two scores for each task.

    Raises:
        RecipeError: If a task cannot be opened.
        ModelError: If a model cannot be loaded.
    """
    harness = open_harness(recipe)
    engine = open_engine(recipe.engine, base, experts)
    try:
        engine.load(genome)
        scored = harness.evaluate(engine.model, "search")
    finally:
        engine.close()
    other = open_engine(recipe.engine, Checkpoint(str(folder), folder), [])
    try:
        return scored, harness.evaluate(other.model, "search")
    finally:
        other.close()
