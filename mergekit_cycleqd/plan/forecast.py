"""Forecast the time and the GPU hours of a run from a measurement on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.plan.measure import MeasuredTimes
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.units import duration


@dataclass(frozen=True)
class Forecast:
    """The cost of a run from its start to its summary.

    Attributes:
        seconds: Wall time in seconds.
        child: Seconds for one child on one worker.
        searched: Number of evaluations on search samples.
        held_out: Number of evaluations on holdout samples.
        workers: Number of workers; None if the size of a cluster decides.
        gpu_hours: GPU hours of all workers together; 0 on CPUs.
    """

    seconds: float
    child: float
    searched: int
    held_out: int
    workers: int | None
    gpu_hours: float


def forecast(
    recipe: Recipe,
    harness: Harness,
    found: MeasuredTimes,
    *,
    start: float,
    factorizing: float,
    cuda: bool,
) -> Forecast:
    """Add up the evaluations of a run.

    A run evaluates the base, the uniform merge, the experts and the children on search samples. At
    its end it evaluates base, experts, uniform merge, best elites and aggregate on both splits,
    except where that was done before.

    Args:
        recipe: The run.
        harness: The run's tasks.
        found: The measurement.
        start: Seconds until the models are loaded: imports, checks and tasks.
        factorizing: Seconds to compute the singular directions that are not in the cache.
        cuda: Whether a worker has a GPU.
    """
    experts, children = len(recipe.experts), recipe.evolution.children
    alone = len(recipe.tasks) == 1 and recipe.evolution.aggregation.kind == "best"
    searched = 2 + experts + children + (0 if alone else 1)  # the aggregate is then an elite
    if (
        recipe.family.task_vectors != PLAIN
    ):  # the first candidates are then only parts of the experts, which are compared too
        searched += experts
    held = harness.sizes("holdout")
    held_out = experts + len(recipe.tasks) + 4 if held else 0
    child = found.swap + found.evaluation
    later = found.swap + found.evaluation * _holdout_share(harness.sizes("search"), held)
    count = recipe.workers.count
    workers = None if count == "auto" else count
    fits = found.fit.seconds if found.fit is not None else 0.0
    once = start + found.load + factorizing + fits + max(0.0, found.first_swap - found.swap)
    work = searched * child + held_out * later
    seconds = once + work / (workers or 1)
    per_worker = recipe.workers.gpus_per_worker
    gpus = (1.0 if per_worker == "auto" else per_worker) if cuda else 0.0
    busy = work + once * (workers or 1)
    return Forecast(seconds, child, searched, held_out, workers, gpus * busy / 3600)


def _holdout_share(searched: Mapping[str, int], held: Mapping[str, int]) -> float:
    """Ratio of the number of holdout samples to the number of search samples."""
    return sum(held.values()) / sum(searched.values())


def time_findings(
    recipe: Recipe, found: MeasuredTimes, told: Forecast, answers: int
) -> list[Finding]:
    """Write the forecast as lines of the plan.

    Args:
        recipe: The run.
        found: The measurement.
        told: The forecast.
        answers: Number of search samples of all tasks together.
    """
    part = "all" if found.samples == found.of else f"{found.samples} of {found.of}"
    lines = [
        Finding(
            "ok",
            "child",
            f"{duration(told.child)}: swap of weights {duration(found.swap)}, evaluation "
            f"{duration(found.evaluation)} (measured on {part} search samples)",
        )
    ]
    who = "each of its workers" if told.workers is None else f"{told.workers} workers"
    evaluations = f"{told.searched:,} evaluations on search samples"
    if told.held_out:
        evaluations += f" and at most {told.held_out} on holdout samples"
    with_workers = "" if told.workers == 1 else f" by {who}"
    stopping = recipe.evolution.early_stop or recipe.evolution.fidelity
    stops = "; less where candidates are stopped early" if stopping else ""
    text = f"{duration(told.seconds)}: {evaluations}{with_workers}{stops}"
    lines.append(Finding("ok", "time", text))
    if (budget := recipe.evolution.budget) is not None:
        lines.append(Finding("ok", "budget", f"{budget}: {_within(recipe, told, answers)}"))
    cost = f"{told.gpu_hours:,.2f}" if told.gpu_hours else "none: the engine runs on the CPU"
    lines.append(Finding("ok", "GPU hours", cost))
    return lines


def _within(recipe: Recipe, told: Forecast, answers: int) -> str:
    """How many children a budget is enough for."""
    budget, children = recipe.evolution.budget, recipe.evolution.children
    assert budget is not None
    candidates = float("inf")
    if budget.answers is not None:
        candidates = budget.answers / answers
    if budget.hours is not None and told.workers is not None:
        candidates = min(candidates, budget.hours * 3600 * told.workers / told.child)
    elif budget.hours is not None:
        return "how many children that is enough for depends on the number of workers"
    enough = max(0, int(candidates) - len(recipe.experts))
    if enough >= children:
        return f"enough for all {children:,} children"
    return f"enough for about {enough:,} of {children:,} children"
