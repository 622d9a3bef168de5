"""Choose parents from an archive."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.recipe.evolution import Sampling
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.worth import Worth


def elite_weights(scores: NDArray[np.float64], low: float, high: float) -> NDArray[np.float64]:
    """Compute the probability of each elite to be a parent (paper, section 3.1).

    It is proportional to the product over the tasks of ``low + (high - low) * minmax(score)``.
    Here minmax maps an archive's scores of one task to [0, 1], or to 1 if all are equal.

    Args:
        scores: (elites, tasks) scores within one archive.
        low: Factor of the worst score, 0 or more.
        high: Factor of the best score.

    Returns:
        (elites,) probabilities that sum to 1.
    """
    lowest = scores.min(axis=0)
    span = scores.max(axis=0) - lowest
    scaled = np.where(span > 0, (scores - lowest) / np.where(span > 0, span, 1.0), 1.0)
    weights = np.prod(low + (high - low) * scaled, axis=1)
    total = weights.sum()
    return weights / total if total > 0 else np.full(len(weights), 1.0 / len(weights))


def choose_parents(
    elites: Sequence[Elite],
    tasks: Sequence[str],
    sampling: Sampling,
    rng: np.random.Generator,
    worth: Worth = Worth(),  # noqa: B008 - it cannot be changed
) -> tuple[Elite, Elite]:
    """Choose two different elites. An only elite is both parents.

    Args:
        elites: One or more elites of an archive, in an order that does not depend on chance.
        tasks: Names of all tasks.
        sampling: Whether and how strongly better elites are preferred.
        rng: Generator of the random choice.
        worth: How good scores are.
    """
    if len(elites) == 1:
        return elites[0], elites[0]
    scores = np.array([[worth.of(t, elite.scores[t]) for t in tasks] for elite in elites])
    weights = None
    if sampling.kind == "elite":
        weights = elite_weights(scores, sampling.low, sampling.high)
        if np.count_nonzero(weights) < 2:
            weights = None  # with `low: 0` one elite may be left, which cannot be two parents
    first, second = rng.choice(len(elites), size=2, replace=False, p=weights)
    return elites[int(first)], elites[int(second)]
