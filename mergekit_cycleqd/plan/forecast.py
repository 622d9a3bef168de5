"""Time, GPU hours and disk of a whole run, from what was measured."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.plan.findings import Finding
from mergekit_cycleqd.plan.measure import Measured
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.units import duration


@dataclass(frozen=True)
class Forecast:
    """What a run will take from its start to its summary.

    Attributes:
        seconds: Wall time.
        child: Seconds of one child on one worker.
        searched: Evaluations on search samples.
        held_out: Evaluations on holdout samples.
        workers: How many; None where a cluster decides.
        gpu_hours: Of all workers together; 0 on CPUs.
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
    found: Measured,
    *,
    start: float,
    factorizing: float,
    cuda: bool,
) -> Forecast:
    """Add up a run.

    Evaluated are the base, the uniform merge, the experts and the children; then, on search and
    holdout samples, whatever of base, experts, uniform merge, best elites and aggregate was not.

    Args:
        recipe: The run.
        harness: Its tasks.
        found: The measurement.
        start: Seconds until the models are loaded: imports, checks and tasks.
        factorizing: Seconds to make the bases that are not in the cache.
        cuda: Whether a worker has a GPU.
    """
    experts, children = len(recipe.experts), recipe.evolution.children
    searched = 2 + experts + children + 1
    if (
        recipe.family.task_vectors != PLAIN
    ):  # and the experts themselves, of which the first candidates are parts
        searched += experts
    held = harness.sizes("holdout")
    held_out = 2 * experts + 4 if held else 0
    child = found.swap + found.evaluation
    later = found.swap + found.evaluation * _share(harness.sizes("search"), held)
    count = recipe.workers.count
    workers = None if count == "auto" else count
    once = start + found.load + factorizing + max(0.0, found.first_swap - found.swap)
    work = searched * child + held_out * later
    seconds = once + work / (workers or 1)
    per_worker = recipe.workers.gpus_per_worker
    gpus = (1.0 if per_worker == "auto" else per_worker) if cuda else 0.0
    busy = work + once * (workers or 1)
    return Forecast(seconds, child, searched, held_out, workers, gpus * busy / 3600)


def _share(searched: Mapping[str, int], held: Mapping[str, int]) -> float:
    """Samples of an evaluation on holdout, against one on search samples."""
    return sum(held.values()) / sum(searched.values())


def time_findings(recipe: Recipe, found: Measured, told: Forecast) -> list[Finding]:
    """The forecast as lines of the plan."""
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
    stops = "; less where candidates are stopped early" if recipe.evolution.early_stop else ""
    text = f"{duration(told.seconds)}: {evaluations}{with_workers}{stops}"
    lines.append(Finding("ok", "time", text))
    cost = f"{told.gpu_hours:,.2f}" if told.gpu_hours else "none: the engine runs on the CPU"
    lines.append(Finding("ok", "GPU hours", cost))
    return lines
