"""Measure what the fits of founders cost: answers of the experts, and backward passes."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.engines.device import wait_for_gpu
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.evaluators.open import open_harness
from mergekit_cycleqd.fitting.loop import KEPT
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import Samples
from mergekit_cycleqd.system.units import duration, size

FEW = 4  # answers of each expert


@dataclass(frozen=True)
class FitTimes:
    """What the fits of a run cost.

    Attributes:
        answers: Seconds for the experts' answers, which all fits share.
        step: Seconds for one step of a fit: a swap of weights and a backward pass.
        end: Seconds for the comparison at the end of a fit.
        fits: Number of fits.
        steps: Number of steps of each.
        peak: Bytes that a backward pass took on a GPU beyond what was there; None on a CPU.
    """

    answers: float
    step: float
    end: float
    fits: int
    steps: int
    peak: int | None

    @property
    def seconds(self) -> float:
        """Seconds of all fits."""
        return self.answers + self.fits * (self.steps * self.step + self.end)


def measure_fit(
    recipe: Recipe,
    engine: ModelEngine,
    harness: Harness,
    swap: float,
    evaluation: float,
    first: Callable[[Recipe, Mapping[str, int]], Recipe],
) -> FitTimes | None:
    """Measure a fit on few answers; None if the run fits nothing.

    Args:
        recipe: The run.
        engine: Holds the models.
        harness: The run's tasks.
        swap: Seconds of a swap of weights.
        evaluation: Seconds of an evaluation on all search samples.
        first: Cuts a recipe to so many of the first search samples of each task.
    """
    settings, fits = recipe.evolution.fit, len(recipe.fitted)
    if settings is None:
        return None
    scored, fitted = harness.sizes("search"), harness.fit_sizes()
    counts = {name: max(1, min(FEW, size, fitted[name])) for name, size in scored.items()}
    few = open_harness(_parted(first(recipe, {name: 2 * count for name, count in counts.items()})))
    samples = list[Any]()
    for k, task in recipe.own_tasks:
        engine.load(Genome.from_expert(recipe.family.plain, k))
        samples += few.own_answers(engine.model, task, fitted=True).samples
    learner, plain = engine.learner(), recipe.family.plain
    learner.load(Genome.uniform(plain))

    def slopes(chosen: Sequence[Any]) -> object:
        return learner.slopes(plain.task_vectors, chosen, [1.0] * len(chosen))

    answering, cuda = len(recipe.own_tasks), learner.device.type == "cuda"
    held = torch.cuda.memory_allocated() if cuda else 0
    slopes(samples[:answering])
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    short = _timed(lambda: slopes(samples[:answering]))
    long = _timed(lambda: slopes(samples))
    peak = torch.cuda.max_memory_allocated() - held if cuda else None
    forward = _timed(lambda: learner.loss(samples, [1.0] * len(samples)))
    share = max(1, settings.batch // answering)
    batch = sum(min(fitted[task], share) for _, task in recipe.own_tasks)
    each = max(0.0, long - short) / max(1, len(samples) - answering)
    step = swap + max(0.0, long + each * (batch - len(samples)))
    held_back = sum(scored[task] for _, task in recipe.own_tasks)
    answered = held_back + sum(fitted[task] for _, task in recipe.own_tasks)
    compared = len(KEPT) * (swap + forward * held_back / len(samples))
    answers = evaluation * answered / sum(scored.values())
    return FitTimes(answers, step, compared, fits, settings.steps, peak)


def fit_finding(recipe: Recipe, found: FitTimes, gradient: int) -> Finding:
    """Write the cost of the fits as a line of the plan.

    Args:
        recipe: The run.
        found: The measurement.
        gradient: Bytes of the largest gradient.
    """
    kinds = ", ".join(vectors.kind for vectors in recipe.fitted)
    memory = f"one gradient, at most {size(gradient)}, and the layers' inputs of a batch"
    if found.peak is not None:
        memory = f"about {size(found.peak)} of device memory"
    text = (
        f"{duration(found.seconds)}: answers of the experts {duration(found.answers)}, then "
        f"{found.steps} steps of {duration(found.step)} for {kinds}; beside the models {memory}"
    )
    return Finding("ok", "fit", text)


def _parted(recipe: Recipe) -> Recipe:
    """Give the first half of each task's few samples to the fit."""
    tasks = []
    for task in recipe.tasks:
        samples = Samples(search=task.samples.search, fit="half", by=task.samples.by)
        tasks.append(task.model_copy(update={"samples": samples}))
    return recipe.model_copy(update={"tasks": tuple(tasks)})


def _timed(work: Callable[[], object]) -> float:
    start = time.monotonic()
    work()
    wait_for_gpu()
    return time.monotonic() - start
