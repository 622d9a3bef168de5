"""What is expected of a model's answers before and while it is asked: a linear factor model.

An answer is a mean, plus a few factors that many questions share, plus noise of its own. The
factors are what item response theory calls abilities. After some answers they are known better, and
with them the scores.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Expected:
    """The joint distribution of a model's answers.

    Attributes:
        means: (questions,) expected answers.
        factors: (questions, r) what each factor, of variance 1, adds to each answer.
        noise: (questions,) variance that is each question's own.
    """

    means: Array
    factors: Array
    noise: Array

    def scores(
        self, shares: Array, answers: Array, known: NDArray[np.bool_]
    ) -> tuple[Array, Array]:
        """Predict the tasks' scores, with some answers known.

        Args:
            shares: (tasks, questions) weight of each question in each score.
            answers: (questions,) answers.
            known: (questions,) which of them are known.

        Returns:
            (tasks,) means, and (tasks, tasks) covariances.
        """
        covariance, center = self._abilities(answers, known)
        complete: Array = np.where(known, answers, self.means + self.factors @ center)
        left = shares[:, ~known]
        moved = left @ self.factors[~known]
        own = np.diag((left**2) @ self.noise[~known])
        return shares @ complete, moved @ covariance @ moved.T + own

    def _abilities(self, answers: Array, known: NDArray[np.bool_]) -> tuple[Array, Array]:
        """Covariance (r, r) and mean (r,) of the factors, after some answers."""
        seen = self.factors[known] / self.noise[known, None]
        precision = np.eye(self.factors.shape[1]) + self.factors[known].T @ seen
        covariance = np.asarray(np.linalg.inv(precision), np.float64)
        surprise = (answers - self.means)[known]
        return covariance, covariance @ (seen.T @ surprise)

    def most_telling(self, shares: Array, allowed: NDArray[np.bool_], count: int) -> list[int]:
        """Sort questions, the one first whose answer says most of all scores.

        Each next question lowers the sum of the scores' variances most, given those before it. With
        factors alone this is the question of the largest Fisher information, as adaptive tests
        choose it.

        Args:
            shares: (tasks, questions) weight of each question in each score.
            allowed: (questions,) which questions may be asked.
            count: How many to give.
        """
        covariance = np.eye(self.factors.shape[1])
        moved = shares @ self.factors
        left, order = allowed.copy(), []
        for _ in range(count):
            along = self.factors @ covariance
            variance = np.einsum("ij,ij->i", along, self.factors) + self.noise
            through = along @ moved.T
            own = shares * self.noise
            gain = ((through + own.T) ** 2).sum(axis=1) / variance
            gain[~left] = -1.0
            best = int(np.argmax(gain))
            order.append(best)
            left[best] = False
            covariance = covariance - np.outer(along[best], along[best]) / variance[best]
            moved = moved - np.outer(shares[:, best], self.factors[best])
        return order

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON values for another process."""
        return {
            "means": self.means.tolist(),
            "factors": self.factors.tolist(),
            "noise": self.noise.tolist(),
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Expected:
        """Read what `to_json` wrote."""
        return cls(*(np.array(content[name]) for name in ("means", "factors", "noise")))
