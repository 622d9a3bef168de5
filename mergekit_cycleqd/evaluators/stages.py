"""Score a model step by step, for adaptive fidelity: as far as its answers suggest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.evaluators.base import Harness, Scored
from mergekit_cycleqd.search.fidelity.asking import Asking


def evaluate_in_stages(harness: Harness, model: Any, asking: Asking) -> Scored:
    """Score the model that an engine holds now, on the samples of the search.

    Tasks whose score is no mean of samples' scores are asked last, and whole.

    Args:
        harness: The run's tasks.
        model: The engine's `model`.
        asking: What decides how far it is asked.

    Returns:
        As `Harness.evaluate`. Each sample was answered once, some in other batches.

    Raises:
        CannotEnter: If the model is not worth more questions.
        CycleQDError: If a task reports no number.
    """

    def ask(only: Mapping[str, Sequence[int]]) -> Mapping[str, NDArray[np.float64]]:
        return harness.evaluate(model, "search", only=only).samples

    samples = asking.answers(ask)
    scores = {task: _mean(task, values) for task, values in samples.items()}
    sizes = harness.sizes("search")
    whole = {task: range(size) for task, size in sizes.items() if task not in samples}
    if whole:
        found = harness.evaluate(model, "search", only=whole)
        scores |= found
        samples |= found.samples
    ordered = {task: scores.pop(task) for task in sizes}
    return Scored(ordered | scores, {task: samples[task] for task in sizes if task in samples})


def _mean(task: str, values: NDArray[np.float64]) -> float:
    """The mean over the samples that have a score, summed as lm-eval does."""
    known = values[~np.isnan(values)].tolist()
    if not known:
        raise CycleQDError(f"task {task!r}: no sample has a score")
    return float(sum(known) / len(known))
