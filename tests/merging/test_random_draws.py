"""Golden values: a recipe that was published must mean the same model for ever."""

from __future__ import annotations

import numpy as np
import pytest

from mergekit_cycleqd.merging import random_draws

NAME = "model.layers.0.self_attn.q_proj.weight"
GOLDEN_UNIFORM = [0.7621465228740004, 0.3694190568602137, 0.8457409578139582, 0.11901847491971063]
GOLDEN_NORMAL = [
    0.6680209396821948,
    -1.2876245444415308,
    -1.1076711406868733,
    0.6412859398593974,
    0.6915412951401448,
]


def test_uniform_draws_have_not_changed() -> None:
    assert random_draws.uniform(81723, NAME, 4).tolist() == GOLDEN_UNIFORM


def test_normal_draws_have_not_changed() -> None:
    assert random_draws.normal(81723, NAME, 5) == pytest.approx(GOLDEN_NORMAL, rel=1e-12)


def test_a_shorter_uniform_draw_is_a_prefix_of_a_longer_one() -> None:
    assert (
        random_draws.uniform(7, NAME, 10).tolist()
        == random_draws.uniform(7, NAME, 100)[:10].tolist()
    )


def test_seeds_tensors_and_kinds_have_streams_of_their_own() -> None:
    streams = [
        random_draws.uniform(1, NAME, 8),
        random_draws.uniform(2, NAME, 8),
        random_draws.uniform(1, "lm_head.weight", 8),
        random_draws.normal(1, NAME, 8),
    ]
    assert len({tuple(stream) for stream in streams}) == 4


def test_draws_have_the_distribution_that_they_say() -> None:
    uniform, normal = random_draws.uniform(5, NAME, 200_000), random_draws.normal(5, NAME, 200_001)
    assert uniform.min() >= 0 and uniform.max() < 1
    assert np.mean(uniform) == pytest.approx(0.5, abs=0.005)
    assert np.var(uniform) == pytest.approx(1 / 12, abs=0.002)
    assert np.mean(normal) == pytest.approx(0, abs=0.01)
    assert np.std(normal) == pytest.approx(1, abs=0.01)
    assert np.mean(normal**4) == pytest.approx(3, abs=0.1)
