"""What the answers of the models so far say of the answers of the next one.

The expected answer to a question is that of the models near by, as screening predicts scores: a
Gaussian process over the coefficients of the experts. What it misses is learned from what it
misses of each model that it knows, if that is left out: some questions are missed together, and
these make the factors. See `expected.py`; arXiv:2402.14992 uses factors to evaluate models by few
questions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.fidelity.expected import Expected
from mergekit_cycleqd.search.surrogate import Surrogate, fit

Array = NDArray[np.float64]

LENGTHS = (0.5, 1.0, 2.0)
NOISES = (0.003, 0.03, 0.3)
FACTORS = 8
MARGIN = 0.02  # nearest to 0 and 1 that an expected answer comes
LEAST_NOISE = 0.05  # share of a question's variance that is always its own


@dataclass(frozen=True)
class AnswerModel:
    """Learned from the answers of models.

    Attributes:
        near: Predicts answers from those of models near by.
        in_parts: (questions,) whether each is one sample, whose score lies between 0 and 1.
        spreads: (questions,) standard deviation of what is missed, of questions that are no sample.
        factors: (questions, r) what is missed together, in units of each question's deviation.
        noise: (questions,) the variance left, in the same unit.
    """

    near: Surrogate
    in_parts: NDArray[np.bool_]
    spreads: Array
    factors: Array
    noise: Array

    @classmethod
    def learn(cls, places: Array, answers: Array, in_parts: NDArray[np.bool_]) -> AnswerModel:
        """Learn from models that answered everything.

        Args:
            places: (models, coordinates) of the models.
            answers: (models, questions) their answers.
            in_parts: (questions,) whether each is one sample.
        """
        near = fit(places, answers, LENGTHS, NOISES)
        left_out = near.left_out(answers)
        spreads = np.maximum((answers - left_out).std(axis=0), np.finfo(np.float64).eps)
        missed = (answers - _inside(left_out, in_parts)) / _deviations(left_out, in_parts, spreads)
        _, vectors = np.linalg.eigh(missed @ missed.T)  # (models, models)
        most = min(FACTORS, len(places) - 1)
        factors = missed.T @ vectors[:, -most:] / np.sqrt(len(places))
        noise = (missed**2).mean(axis=0) - (factors**2).sum(axis=1)
        return cls(near, in_parts, spreads, factors, np.maximum(noise, LEAST_NOISE))

    def expected(self, place: Array) -> Expected:
        """What is expected of a model's answers.

        Args:
            place: (coordinates,) of the model.
        """
        means, _ = self.near.predict(place[None])
        deviations = _deviations(means[0], self.in_parts, self.spreads)
        return Expected(
            _inside(means[0], self.in_parts),
            self.factors * deviations[:, None],
            self.noise * deviations**2,
        )


def _inside(answers: Array, in_parts: NDArray[np.bool_]) -> Array:
    """Expected answers, those of samples between 0 and 1."""
    return np.where(in_parts, np.clip(answers, MARGIN, 1 - MARGIN), answers)


def _deviations(means: Array, in_parts: NDArray[np.bool_], spreads: Array) -> Array:
    """Standard deviation of answers: that of a coin for a sample."""
    chances = np.clip(means, MARGIN, 1 - MARGIN)
    return np.where(in_parts, np.sqrt(chances * (1 - chances)), spreads)
