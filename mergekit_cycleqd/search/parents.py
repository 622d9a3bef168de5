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


class Parents:
    """The elites of an archive, of which pairs of parents are drawn."""

    def __init__(
        self,
        elites: Sequence[Elite],
        tasks: Sequence[str],
        sampling: Sampling,
        worth: Worth = Worth(),  # noqa: B008 - it cannot be changed
    ) -> None:
        """Compute how likely each elite is.

        Args:
            elites: One or more elites of an archive, in an order that does not depend on chance.
            tasks: Names of all tasks.
            sampling: Whether and how strongly better elites are preferred.
            worth: How good scores are.
        """
        self._elites = elites
        self._weights: NDArray[np.float64] | None = None
        if sampling.kind == "elite" and len(elites) > 1:
            scores = np.array([[worth.of(t, elite.scores[t]) for t in tasks] for elite in elites])
            weights = elite_weights(scores, sampling.low, sampling.high)
            if np.count_nonzero(weights) > 1:  # with `low: 0` one may be left: no two parents
                self._weights = weights

    def draw(self, rng: np.random.Generator) -> tuple[Elite, Elite]:
        """Draw two different elites. An only elite is both parents."""
        if len(self._elites) == 1:
            return self._elites[0], self._elites[0]
        first, second = rng.choice(len(self._elites), size=2, replace=False, p=self._weights)
        return self._elites[int(first)], self._elites[int(second)]
