"""What it tells of a model's answers that it finds an expert's right answers most likely.

A model that finds every token of a right answer most likely would write this answer, if it were
asked. One forward pass shows that, and no token has to be generated. How often it is true is
learned from the models that were asked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.fidelity.expected import Expected
from mergekit_cycleqd.search.fidelity.questions import Questions

Array = NDArray[np.float64]

LEAST = 0.5
"""Correlation between found and right from which on a task's likelihoods are used."""


@dataclass(frozen=True)
class Likely:
    """How often answers of one task are right.

    Attributes:
        missed: Share of right answers where the expert's answer was not the most likely.
        found: Share of right answers where it was.
        shift: Standard deviation of these shares from model to model.
    """

    missed: float
    found: float
    shift: float


def learn(finds: Array, answers: Array) -> Likely | None:
    """Learn from models that were asked everything.

    Args:
        finds: (models, samples) 1 where a model finds the expert's answer most likely, 0 where it
            does not, NaN where no right answer is known.
        answers: (models, samples) what they scored.

    Returns:
        None if the two hardly correlate, or nothing is known.
    """
    known = ~np.isnan(finds)
    bits, right = finds[known], answers[known]
    if not len(bits) or np.ptp(bits) == 0 or np.ptp(right) == 0:
        return None
    if np.corrcoef(bits, right)[0, 1] < LEAST:
        return None
    missed, found = (_share(right[bits == bit]) for bit in (0, 1))
    chances = np.where(finds == 1, found, missed)
    over = np.where(known, answers - chances, 0.0).sum(axis=1) / known.sum(axis=1)
    by_chance = np.where(known, chances * (1 - chances), 0.0).sum(axis=1) / known.sum(axis=1) ** 2
    return Likely(missed, found, float(np.sqrt(max(0.0, (over**2 - by_chance).mean()))))


def _share(right: Array) -> float:
    """The share of right answers by Jeffreys' prior, which is never quite 0 or 1."""
    return float((right.sum() + 0.5) / (len(right) + 1))


def informed(
    expected: Expected,
    questions: Questions,
    likely: Mapping[str, Likely],
    finds: Mapping[str, Sequence[float] | Array],
) -> Expected:
    """What is expected of a model whose likelihoods are known.

    Args:
        expected: What was expected before.
        questions: All questions.
        likely: What likelihoods tell, by task.
        finds: What the model finds, by task, as `learn` has it.
    """
    means, noise = expected.means.copy(), expected.noise.copy()
    factors = np.concatenate([expected.factors, np.zeros((len(means), len(likely)))], axis=1)
    for column, (task, told) in enumerate(likely.items(), start=expected.factors.shape[1]):
        bits = np.asarray(finds.get(task, ()), np.float64)
        places = questions.numbers(task, np.flatnonzero(~np.isnan(bits)).tolist())
        chances = np.where(bits[~np.isnan(bits)] == 1, told.found, told.missed)
        means[places], noise[places] = chances, chances * (1 - chances)
        factors[places] = 0.0
        factors[places, column] = told.shift
    return Expected(means, factors, noise)
