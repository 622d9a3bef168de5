from __future__ import annotations

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.evolution import Sampling
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.parents import Parents, elite_weights

GENOME = Genome.uniform(Family("base", ("a", "b")))


def elites(*scores: tuple[float, float]) -> list[Elite]:
    return [Elite(i, GENOME, {"x": x, "y": y}, ()) for i, (x, y) in enumerate(scores)]


def test_probability_is_the_product_over_all_tasks_of_low_to_high() -> None:
    scores = np.array([[0.0, 1.0], [0.5, 0.5], [1.0, 0.0]])
    raw = np.array([0.5 * 0.8, 0.65 * 0.65, 0.8 * 0.5])
    assert elite_weights(scores, 0.5, 0.8) == pytest.approx(raw / raw.sum())


def test_equal_scores_count_as_the_best() -> None:
    scores = np.array([[0.3, 0.0], [0.3, 1.0]])
    assert elite_weights(scores, 0.5, 0.8) == pytest.approx([5 / 13, 8 / 13])


def test_a_lone_elite_is_both_parents() -> None:
    (lone,) = elites((0.1, 0.2))
    assert Parents([lone], ("x", "y"), Sampling()).draw(np.random.default_rng(0)) == (lone, lone)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(kind="random"), Sampling(low=0)])
def test_parents_are_two_different_elites(sampling: Sampling) -> None:
    rng = np.random.default_rng(0)
    population = elites((0.0, 0.0), (1.0, 1.0))
    for _ in range(50):
        first, second = Parents(population, ("x", "y"), sampling).draw(rng)
        assert first is not second


def test_elite_sampling_prefers_the_better_and_random_sampling_does_not() -> None:
    population = elites((0.0, 0.0), (0.5, 0.5), (1.0, 1.0))
    shares = {}
    for kind in ("elite", "random"):
        rng = np.random.default_rng(0)
        sampling = Sampling(kind=kind, low=0.1, high=1.0)
        chosen = [Parents(population, ("x", "y"), sampling).draw(rng)[0] for _ in range(3000)]
        shares[kind] = sum(e.index == 2 for e in chosen) / len(chosen)
    assert shares["random"] == pytest.approx(1 / 3, abs=0.03)
    assert shares["elite"] > 0.6
