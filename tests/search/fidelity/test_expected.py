"""The factor model is a normal distribution, and its questions are those that narrow it most."""

from __future__ import annotations

import json

import numpy as np
import pytest

from mergekit_cycleqd.search.fidelity.expected import Array, Expected

SHARES = np.repeat(np.eye(2), (5, 4), axis=1) / np.array([[5], [4]])


def made(seed: int) -> tuple[Expected, Array]:
    """A model of nine questions, and answers to them."""
    rng = np.random.Generator(np.random.Philox(seed))
    expected = Expected(rng.uniform(size=9), rng.normal(size=(9, 3)), rng.uniform(0.1, 1, size=9))
    return expected, rng.normal(size=9)


def conditioned(expected: Expected, answers: Array, known: Array) -> tuple[Array, Array]:
    """Mean and covariance of the scores, by the whole covariance of the answers."""
    whole = expected.factors @ expected.factors.T + np.diag(expected.noise)
    gain = whole[:, known] @ np.linalg.inv(whole[np.ix_(known, known)])
    means = expected.means + gain @ (answers - expected.means)[known]
    left = whole - gain @ whole[known]
    return SHARES @ means, SHARES @ left @ SHARES.T


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("count", [0, 1, 4, 9])
def test_scores_are_those_of_the_normal_distribution(seed: int, count: int) -> None:
    expected, answers = made(seed)
    known = np.zeros(9, bool)
    known[np.random.Generator(np.random.Philox(seed)).permutation(9)[:count]] = True
    means, covariance = expected.scores(SHARES, answers, known)
    wanted = conditioned(expected, answers, known)
    np.testing.assert_allclose(means, wanted[0], atol=1e-12)
    np.testing.assert_allclose(covariance, wanted[1], atol=1e-12)


@pytest.mark.parametrize("seed", range(4))
def test_each_next_question_narrows_the_scores_most(seed: int) -> None:
    expected, answers = made(seed)
    allowed = np.ones(9, bool)
    allowed[4] = False
    order = expected.most_telling(SHARES, allowed, 8)
    assert sorted(order) == [0, 1, 2, 3, 5, 6, 7, 8]
    known = np.zeros(9, bool)
    for question in order:

        def left(other: int, known: Array = known) -> float:
            asked = known.copy()
            asked[other] = True
            return float(np.trace(expected.scores(SHARES, answers, asked)[1]))

        best = min(left(other) for other in np.flatnonzero(allowed & ~known))
        assert left(question) == pytest.approx(best, abs=1e-12)
        known[question] = True


def test_another_process_reads_the_same() -> None:
    expected, _ = made(0)
    again = Expected.from_json(json.loads(json.dumps(expected.to_json())))
    for name in ("means", "factors", "noise"):
        np.testing.assert_array_equal(getattr(again, name), getattr(expected, name))
