"""What can be wrong between the sections of a run's recipe."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mergekit_cycleqd.errors import nearest
from mergekit_cycleqd.recipe.archive import archive_faults
from mergekit_cycleqd.recipe.engine import ENGINES, Engine
from mergekit_cycleqd.recipe.measures import measure_faults
from mergekit_cycleqd.recipe.publish import publish_faults
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import EVALUATORS, Task


def cross_checks(recipe: Recipe) -> Iterator[str]:
    """Faults that show only between the sections of a recipe, each as ``path.to.key: fault``."""
    yield from _too_few_or_twice(recipe)
    yield from _of_experts_and_tasks(recipe)
    yield from _of_workers_and_evolution(recipe)
    yield from _of_fit(recipe)
    if recipe.publish is not None:
        yield from publish_faults(recipe.publish, recipe.task_names)
    yield from misfits(recipe.tasks, recipe.engine)
    if recipe.tokenizer is not None and recipe.engine.of_images:
        yield "tokenizer: is for language models; engine.kind vision has no tokens"
    yield from _of_tasks_and_evolution(recipe)
    yield from _of_archives(recipe)


def _too_few_or_twice(recipe: Recipe) -> Iterator[str]:
    """Faults of the lists of tasks and of experts."""
    names = recipe.task_names
    if not names:
        yield "tasks: needs one or more, got 0"
    if not recipe.experts:
        yield "experts: needs one or more, got 0"
    for i, name in enumerate(names):
        if name in names[:i]:
            yield f"tasks[{i}].name: {name!r} stands twice"


def _of_experts_and_tasks(recipe: Recipe) -> Iterator[str]:
    """Tasks of experts that are none, and models that stand twice."""
    names = recipe.task_names
    models: dict[str, str] = {recipe.base_model: "base_model"}
    for i, expert in enumerate(recipe.experts):
        if expert.task is not None and expert.task not in names:
            near = nearest(expert.task, names)
            yield f"experts[{i}].task: no task is named {expert.task!r}{near}"
        if expert.model in models:
            yield f"experts[{i}].model: {expert.model!r} is {models[expert.model]} already"
        models.setdefault(expert.model, f"experts[{i}].model")


def _of_workers_and_evolution(recipe: Recipe) -> Iterator[str]:
    """A lag that depends on workers which nobody has counted."""
    if recipe.workers.count == "auto" and recipe.evolution.lag == "auto":
        yield (
            "evolution.lag: must be a number where workers.count is auto, since the search depends "
            "on it; twice the workers that you expect is a good one"
        )


def _of_fit(recipe: Recipe) -> Iterator[str]:
    """Engines and workers that cannot fit the weights of founders."""
    fit = recipe.evolution.fit
    if fit is None:
        return
    where = f"evolution.founders[{recipe.evolution.founders.index(fit)}]"
    if not recipe.own_tasks:
        yield f"{where}: a fit is to the answers of experts to their tasks; set experts[].task"
    if not ENGINES[recipe.engine.kind].derives:
        able = " or ".join(name for name, kind in ENGINES.items() if kind.derives)
        yield (
            f"{where}: a fit needs derivatives, which engine.kind {recipe.engine.kind} does "
            f"not give; take {able}, or founders that are numbers such as 0.5"
        )
    if recipe.workers.cluster is not None:
        yield (
            f"{where}: a fit runs in this process, and with workers.kind "
            f"{recipe.workers.kind} the models may not be here; take workers.kind local"
        )


def _of_tasks_and_evolution(recipe: Recipe) -> Iterator[str]:
    """Samples that no setting uses, and a quality that is no task."""
    for i, task in enumerate(recipe.tasks):
        if task.samples.again is not None and recipe.evolution.reevaluate is None:
            yield (
                f"tasks[{i}].samples.again: is for evolution.reevaluate, which is not set; set it "
                "or leave this out"
            )
        if task.samples.fit is not None and recipe.evolution.fit is None:
            yield (
                f"tasks[{i}].samples.fit: is for founders of kind fit, and evolution.founders has "
                "none; add one or leave this out"
            )
    quality, names = recipe.evolution.quality, recipe.task_names
    if quality != "cyclic" and quality not in names:
        yield f"evolution.quality: must be cyclic or a task's name, got {quality!r}" + nearest(
            quality, ("cyclic", *names)
        )


def _of_archives(recipe: Recipe) -> Iterator[str]:
    """Measures that no archive can have, and grids of more cells than can be kept."""
    if faults := list(measure_faults(recipe)):
        yield from faults
        return
    yield from archive_faults(recipe)


def misfits(tasks: Iterable[Task], engine: Engine) -> Iterator[str]:
    """Tasks that the engine's models cannot do, each as ``path.to.key: fault``."""
    images = engine.of_images
    fitting = [name for name, kind in EVALUATORS.items() if kind.fits(of_images=images)]
    other = next(name for name, kind in ENGINES.items() if kind.of_images != images)
    for i, task in enumerate(tasks):
        if task.evaluator not in fitting:
            needed = f"{'language models' if images else 'images'}: engine kind {other}"
            yield (
                f"tasks[{i}].evaluator: {task.evaluator} needs an engine of {needed}, got "
                f"engine.kind {engine.kind}; that one takes {' and '.join(fitting)}"
            )
