"""Measure the seconds that a child costs: a swap of weights, and an evaluation on few samples."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.engines.device import wait_for_gpu
from mergekit_cycleqd.engines.open import open_engine
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.evaluators.lm_eval_metrics import MetricNotReported
from mergekit_cycleqd.evaluators.open import open_harness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import PLAIN
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.plan.measure_fit import FitTimes, measure_fit
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.recipe.tasks import Samples

FEW = 4  # samples per task in the first measurement
GROWTH = 5  # factor between the samples of one measurement and the next
LONGEST_SECONDS = 60.0  # longest expected time of one measurement


@dataclass(frozen=True)
class MeasuredTimes:
    """Times that were measured on this machine.

    Attributes:
        load: Seconds until the engine holds the models.
        first_swap: Seconds of the first swap to a mutated genome, which prepares all directions.
        swap: Seconds of a later swap.
        evaluation: Seconds of one evaluation on all search samples, extrapolated.
        samples: Number of samples of all tasks in the last measurement.
        of: Number of search samples of all tasks.
        fit: The cost of the fits of founders; None if there are none.
    """

    load: float
    first_swap: float
    swap: float
    evaluation: float
    samples: int
    of: int
    fit: FitTimes | None = None


def measure_times(
    recipe: Recipe,
    base: Checkpoint,
    experts: Sequence[Checkpoint],
    harness: Harness,
    *,
    prepared: bool,
) -> MeasuredTimes:
    """Load the engine as a worker does, evaluate the base, and swap to merges of the run's kind.

    Args:
        recipe: The run.
        base: The base model.
        experts: The experts in the order of a genome's weights.
        harness: The run's tasks.
        prepared: Whether the directions that the run needs are in the cache. If not, the measured
            merge needs none.
    """
    with _worker_threads(recipe):
        start = time.monotonic()
        engine = open_engine(recipe.engine, base, experts)
        load = time.monotonic() - start
        try:
            return _measure_engine(recipe, engine, harness, load, prepared)
        finally:
            engine.close()


def _measure_engine(
    recipe: Recipe, engine: ModelEngine, harness: Harness, load: float, prepared: bool
) -> MeasuredTimes:
    full = harness.sizes("search")
    engine.load(Genome.from_base(recipe.family))
    seconds, samples = _evaluation_seconds(recipe, engine, harness)
    usable = [f for f in recipe.families if prepared or not f.task_vectors.of_directions]
    *others, family = usable or [recipe.family.plain]
    first = _time_swap(engine, recipe, family, seed=1, prepared=prepared)
    swap = _time_swap(engine, recipe, family, seed=2, prepared=prepared)
    for other in others:  # each kind of task vectors is made at its first swap
        if other.task_vectors != PLAIN:
            first += _time_swap(engine, recipe, other, seed=1, prepared=prepared)
    fit = measure_fit(
        recipe,
        engine,
        harness,
        swap,
        seconds,
        lambda few, counts: _with_first_samples(few, harness, counts),
    )
    return MeasuredTimes(load, first, swap, seconds, samples, sum(full.values()), fit)


def _evaluation_seconds(recipe: Recipe, engine: ModelEngine, harness: Harness) -> tuple[float, int]:
    """Estimate the seconds of an evaluation on all search samples, and count the measured ones.

    Beyond the last measurement, time grows as it did between the last two measurements. Earlier
    ones would overestimate it, since the first samples also pay for costs per batch.
    """
    full = harness.sizes("search")
    share = min(1.0, max(FEW / count for count in full.values()))
    counts = _counts(full, share)
    _time_evaluation(
        recipe, engine, harness, counts
    )  # not kept: the first call also loads what is loaded once
    seconds, fault = _time_evaluation(recipe, engine, harness, counts)
    before = (0.0, 0.0)
    while share < 1 and seconds * GROWTH <= LONGEST_SECONDS:
        before = share, seconds
        share = min(1.0, share * GROWTH)
        counts = _counts(full, share)
        seconds, fault = _time_evaluation(recipe, engine, harness, counts)
    if fault is not None:
        raise fault
    slope = max(0.0, (seconds - before[1]) / (share - before[0]))
    return seconds + slope * (1 - share), sum(counts.values())


def _counts(full: Mapping[str, int], share: float) -> dict[str, int]:
    return {task: min(count, math.ceil(share * count)) for task, count in full.items()}


def _time_evaluation(
    recipe: Recipe, engine: ModelEngine, harness: Harness, counts: Mapping[str, int]
) -> tuple[float, MetricNotReported | None]:
    """Measure the seconds of an evaluation on a number of samples of each task.

    Returns:
        The seconds, and the fault of samples that have no value of a metric. More may have one.
    """
    tasks = open_harness(_with_first_samples(recipe, harness, counts))
    start, fault = time.monotonic(), None
    try:
        tasks.evaluate(engine.model, "search")
    except MetricNotReported as error:
        fault = error
    return time.monotonic() - start, fault


def _time_swap(
    engine: ModelEngine, recipe: Recipe, family: Family, seed: int, *, prepared: bool
) -> float:
    """Measure the seconds of a swap to a merge, with mutation terms if the run has them."""
    experts = len(family.experts)
    mutated = prepared and recipe.mutates_experts
    terms = tuple(Term(k, seed, 0.1) for k in range(experts)) if mutated else ()
    genome = Genome(family, (1 / experts,) * experts, terms)
    start = time.monotonic()
    engine.load(genome)
    wait_for_gpu()
    return time.monotonic() - start


def _with_first_samples(recipe: Recipe, harness: Harness, counts: Mapping[str, int]) -> Recipe:
    """Cut a recipe to the first search samples of each task, as many as `counts` says."""
    tasks = []
    for task in recipe.tasks:
        ids = task.samples.search.resolve(_document_count(task.samples.search, harness, task.name))
        few = SampleIds.parse(ids[: counts[task.name]])
        tasks.append(task.model_copy(update={"samples": Samples(search=few, by=task.samples.by)}))
    return recipe.model_copy(update={"tasks": tuple(tasks)})


def _document_count(ids: SampleIds, harness: Harness, task: str) -> int:
    """Give a number of documents that is above all of these ids. The last span may be open."""
    first = ids.spans[-1][0]
    ends = [last for _, last in ids.spans if last is not None]
    count = harness.sizes("search")[task] + harness.fit_sizes().get(task, 0)
    return max([first + count, *(end + 1 for end in ends)])


@contextmanager
def _worker_threads(recipe: Recipe) -> Iterator[None]:
    """Use as many threads as one of the recipe's workers has."""
    count = recipe.workers.count
    before = torch.get_num_threads()
    if recipe.workers.cluster is None and count != "auto" and count > 1:
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // count))
    try:
        yield
    finally:
        torch.set_num_threads(before)
