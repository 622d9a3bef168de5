"""Archives of two tasks, and how a candidate is asked of which hardly anything is known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.early_stop import EntryThresholds
from mergekit_cycleqd.search.fidelity.asking import Asking
from mergekit_cycleqd.search.fidelity.expected import Array, Expected
from mergekit_cycleqd.search.fidelity.questions import Questions

TASKS = ("a", "b")
QUESTIONS = Questions(TASKS, {"a": 20, "b": 20})
GENOME = Genome.from_base(Family("base", ("a", "b")))


def archives(*told: tuple[float, float], axes: Sequence[str] = ("b", "a")) -> list[TaskArchive]:
    """Archives of four cells each, to which models with these scores were offered."""
    found = [
        TaskArchive(task, [axis], [4], [(0.0, 1.0)]) for task, axis in zip(TASKS, axes, strict=True)
    ]
    for number, scores in enumerate(told):
        elite = Elite(number, GENOME, dict(zip(TASKS, scores, strict=True)), ())
        for archive in found:
            archive.add(elite)
    return found


def asking(found: Sequence[TaskArchive], best: float, mean: float = 0.5) -> Asking:
    """How a candidate is asked of which hardly anything is known."""
    rng = np.random.Generator(np.random.Philox(1))
    expected = Expected(np.full(40, mean), rng.normal(0, 0.3, size=(40, 2)), np.full(40, 0.2))
    order = expected.most_telling(QUESTIONS.shares, QUESTIONS.in_parts, 20)
    thresholds = EntryThresholds(tuple(archive.entry_threshold for archive in found))
    return Asking(QUESTIONS, expected, tuple(order), 5, 0.05, thresholds, best)


def skilled(share: float) -> Array:
    return (np.random.Generator(np.random.Philox(2)).permutation(20) < 20 * share).astype(float)


FULL = [(0.9, b) for b in (0.1, 0.35, 0.6, 0.85)] + [(a, 0.9) for a in (0.1, 0.35, 0.6, 0.85)]
