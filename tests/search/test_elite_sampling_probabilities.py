"""How likely each elite is to be a parent."""

from __future__ import annotations

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.evolution import Sampling
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.parents import Parents, elite_weights

GENOME = Genome.uniform(Family("base", ("a", "b")))


def test_an_archives_scores_of_a_task_are_stretched_to_the_whole_range() -> None:
    """Scores that differ by a hundredth count as much as scores that differ by hundreds."""
    scores = np.array([[0.40, 100.0], [0.41, 400.0], [0.42, 300.0]])
    near, far = np.array([0.0, 0.5, 1.0]), np.array([0.0, 1.0, 2 / 3])
    raw = (0.5 + 0.3 * near) * (0.5 + 0.3 * far)
    assert elite_weights(scores, 0.5, 0.8) == pytest.approx(raw / raw.sum())


def test_scores_below_zero_are_stretched_like_others() -> None:
    scores = np.array([[-3.0], [-1.0], [-2.0]])
    assert elite_weights(scores, 0.0, 1.0) == pytest.approx([0.0, 2 / 3, 1 / 3])


def test_where_all_weights_vanish_every_elite_is_as_likely() -> None:
    scores = np.array([[0.0, 1.0], [1.0, 0.0]])
    assert elite_weights(scores, 0.0, 0.8) == pytest.approx([0.5, 0.5])


def elites(*scores: tuple[float, float]) -> list[Elite]:
    return [Elite(i, GENOME, {"x": x, "y": y}, ()) for i, (x, y) in enumerate(scores)]


def test_parents_come_up_as_often_as_their_probabilities_say() -> None:
    population = elites((0.40, 0.1), (0.41, 0.4), (0.42, 0.3))
    sampling = Sampling(kind="elite", low=0.1, high=1.0)
    rng = np.random.default_rng(0)
    chosen = [Parents(population, ("x", "y"), sampling).draw(rng)[0].index for _ in range(4000)]
    raw = np.array([0.01, 0.55, 0.7])
    assert np.bincount(chosen) / 4000 == pytest.approx(raw / raw.sum(), abs=0.03)


def test_with_one_likely_elite_any_two_may_be_parents() -> None:
    population = elites((0.0, 0.0), (0.0, 1.0), (1.0, 1.0))
    sampling = Sampling(kind="elite", low=0.0, high=1.0)
    rng = np.random.default_rng(0)
    pairs = [Parents(population, ("x", "y"), sampling).draw(rng) for _ in range(600)]
    first = [one.index for one, _ in pairs]
    assert np.bincount(first) / 600 == pytest.approx([1 / 3] * 3, abs=0.08)


def test_with_two_likely_elites_they_are_the_parents() -> None:
    population = elites((0.0, 1.0), (0.5, 1.0), (1.0, 1.0))
    sampling = Sampling(kind="elite", low=0.0, high=1.0)
    rng = np.random.default_rng(0)
    for _ in range(50):
        pair = Parents(population, ("x", "y"), sampling).draw(rng)
        assert {elite.index for elite in pair} == {1, 2}
