"""Open the evaluators that a recipe names: a row per kind, imported when it is used."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.base import Harness, TaskNote
from mergekit_cycleqd.evaluators.combined import CombinedHarness
from mergekit_cycleqd.recipe.bins import bins_of
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.pulled import trust_faults

if TYPE_CHECKING:
    from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
    from mergekit_cycleqd.recipe.engine import Engine

Opener = Callable[[Sequence[Task]], Harness]
"""Loads tasks and checks metrics and sample ids, without any model."""


def _by_lm_eval(tasks: Sequence[Task]) -> Harness:
    from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness  # seconds to import

    return LMHarness(tasks)


def _segmentation(tasks: Sequence[Task]) -> Harness:
    from mergekit_cycleqd.evaluators.segmentation import SegmentationHarness

    return SegmentationHarness(tasks)


def _python(tasks: Sequence[Task]) -> Harness:
    from mergekit_cycleqd.evaluators.python_function import PythonHarness

    return PythonHarness(tasks)


# Tasks of the same opener are one harness, and share its batches.
OPENERS: Mapping[str, Opener] = {
    "lm_eval": _by_lm_eval,
    "agentbench": _by_lm_eval,
    "segmentation": _segmentation,
    "python": _python,
}


def open_harness(recipe: Recipe) -> Harness:
    """Load the tasks of a recipe and check metrics and sample ids, without any model.

    Raises:
        RecipeError: With one line per fault, each with the path to its key.
    """
    return harness_of(recipe.tasks)


def repeat_faults(recipe: Recipe, harness: Harness) -> list[str]:
    """Tasks whose second evaluation would be a copy of the first, where there are to be some."""
    if recipe.evolution.reevaluate is None:
        return []
    return [
        f"tasks[{i}].samples: needs again with evolution.reevaluate, since {task.name!r} scores "
        "the same whenever it sees the same samples: ids beside those of search and holdout"
        + (", or answers that are sampled (gen_kwargs)" if task.scored_by.by_lm_eval else "")
        for i, task in enumerate(recipe.tasks)
        if task.name in harness.steady and task.samples.again is None
    ]


def fit_faults(recipe: Recipe, harness: Harness) -> list[str]:
    """Tasks whose answers founders of kind fit cannot be fitted to, where there are such founders.

    Args:
        recipe: The run.
        harness: Its tasks, loaded.
    """
    if recipe.evolution.fit is None:
        return []
    return [
        f"tasks[{i}].task: {task.task!r} {fault}; leave out the founders of kind fit"
        for i, task in enumerate(recipe.tasks)
        if (fault := harness.fit_fault(task.name))
    ]


def directed(recipe: Recipe, harness: Harness) -> tuple[Recipe, list[TaskNote], list[TaskNote]]:
    """Say of each task whether lower scores are better, where the recipe does not.

    Args:
        recipe: The run.
        harness: Its tasks, loaded.

    Returns:
        The recipe, a note on each task that is decided so, and one on each of which the recipe says
        otherwise than its own file.
    """
    tasks, notes, against = list(recipe.tasks), list[TaskNote](), list[TaskNote]()
    for place, task in enumerate(tasks):
        lower = task.name in harness.lower
        if lower and task.maximize is None:
            tasks[place] = task.model_copy(update={"maximize": False})
            notes.append((task.name, f"maximize: false, since {task.metric} is better when lower"))
        elif lower and task.maximize:
            text = f"maximize: true, though lower is better of {task.metric}"
            against.append((task.name, f"{text}; leave it out unless the highest are wanted"))
        elif task.name in harness.higher and task.minimised:
            text = f"maximize: false, though higher is better of {task.metric}"
            against.append((task.name, f"{text}; leave it out unless the lowest are wanted"))
    return recipe.model_copy(update={"tasks": tuple(tasks)}), notes, against


def binned(recipe: Recipe, harness: Harness) -> tuple[Recipe, list[TaskNote]]:
    """Count the cells of each task's axis where the recipe says `bins: auto`.

    Args:
        recipe: The run.
        harness: Its tasks, loaded.

    Returns:
        The recipe with numbers, and a note on each.
    """
    tasks, notes, sizes = list(recipe.tasks), list[TaskNote](), harness.sizes("search")
    for place, task in enumerate(tasks):
        if task.bins == "auto":
            count = sizes[task.name]
            bins = bins_of(task, count)
            tasks[place] = task.model_copy(update={"bins": bins})
            notes.append((task.name, f"bins: auto is {bins}, for {count} samples"))
    return recipe.model_copy(update={"tasks": tuple(tasks)}), notes


def base_faults(recipe: Recipe, harness: Harness, engine: Engine, base: Checkpoint) -> list[str]:
    """Say which tasks cannot be scored with models of a base, a line each with the path to its key.

    Args:
        recipe: The run.
        harness: Its tasks, loaded.
        engine: What runs the models; may be another than the recipe's.
        base: The base model; its weights are not read.
    """
    return [
        f"tasks[{i}].task: {task.task!r} {fault}"
        for i, task in enumerate(recipe.tasks)
        if (fault := harness.base_fault(task.name, engine, base))
    ]


def numbered(recipe: Recipe, notes: Iterable[TaskNote]) -> list[str]:
    """Write notes on tasks as lines, each with the path to its key."""
    return [f"tasks[{recipe.task_names.index(name)}].{text}" for name, text in notes]


def harness_of(tasks: Sequence[Task]) -> Harness:
    """Load tasks and check metrics and sample ids, without any model.

    Raises:
        RecipeError: With one line per fault, each with the path to its key.
    """
    folders = dict.fromkeys(task.include_path for task in tasks if task.include_path)
    if untrusted := [fault for folder in folders for fault in trust_faults(Path(folder))]:
        raise RecipeError(list(dict.fromkeys(untrusted)))
    groups: dict[Opener, list[int]] = {}
    for place, task in enumerate(tasks):
        groups.setdefault(OPENERS[task.evaluator], []).append(place)
    parts: list[Harness] = []
    faults: list[str] = []
    for open_tasks, places in groups.items():
        try:
            parts.append(open_tasks([tasks[place] for place in places]))
        except RecipeError as error:
            faults += [_renumbered(fault, places) for fault in error.faults]
    if faults:
        raise RecipeError(faults)
    return parts[0] if len(parts) == 1 else CombinedHarness(parts, [task.name for task in tasks])


def _renumbered(fault: str, places: Sequence[int]) -> str:
    """A fault of a group's task, by its number in the recipe."""
    return re.sub(r"^tasks\[(\d+)\]", lambda match: f"tasks[{places[int(match[1])]}]", fault)
