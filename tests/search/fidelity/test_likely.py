"""Which known answers a model finds most likely tells which questions it answers right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mergekit_cycleqd.search.early_stop import CannotEnter
from mergekit_cycleqd.search.fidelity.expected import Array, Expected
from mergekit_cycleqd.search.fidelity.likely import Likely, informed, learn
from tests.support.asked_candidates import FULL, QUESTIONS, archives, asking, skilled


def told(missed: float, found: float, shift: float = 0.0) -> tuple[Array, Array]:
    """What 200 models find and answer, by chances that move from model to model."""
    rng = np.random.Generator(np.random.Philox(4))
    finds = (rng.uniform(size=(200, 50)) < rng.uniform(size=(200, 1))).astype(float)
    chances = np.where(finds == 1, found, missed) + rng.normal(0, shift, size=(200, 1))
    answers = (rng.uniform(size=(200, 50)) < chances).astype(float)
    finds[:, :5] = np.nan
    return finds, answers


@pytest.mark.parametrize("shift", [0.0, 0.1])
def test_shares_of_right_answers_are_learned_and_how_they_move(shift: float) -> None:
    found = learn(*told(0.2, 0.8, shift))
    assert found is not None
    assert found.missed == pytest.approx(0.2, abs=0.03)
    assert found.found == pytest.approx(0.8, abs=0.03)
    assert found.shift == pytest.approx(shift, abs=0.025)


def test_what_does_not_go_together_is_not_used() -> None:
    finds, answers = told(0.5, 0.7)
    assert learn(finds, answers) is None, "they hardly correlate"
    assert learn(finds, 1 - finds) is None, "the wrong way round"
    assert learn(np.ones((5, 4)), answers[:5, :4]) is None, "always found"
    assert learn(finds, np.ones_like(answers)) is None, "always right"
    assert learn(np.full((5, 4), np.nan), answers[:5, :4]) is None, "nothing is known"


def test_questions_without_a_known_answer_are_expected_as_before() -> None:
    expected = Expected(np.full(40, 0.5), np.full((40, 2), 0.1), np.full(40, 0.2))
    finds = {"a": np.where(np.arange(20) < 15, 1.0, np.nan)}
    found = informed(expected, QUESTIONS, {"a": Likely(0.1, 0.9, 0.05)}, finds)
    assert found.means.tolist() == [0.9] * 15 + [0.5] * 25
    np.testing.assert_allclose(found.noise, [0.09] * 15 + [0.2] * 25)
    np.testing.assert_allclose(found.factors[:15], [[0.0, 0.0, 0.05]] * 15)
    np.testing.assert_allclose(found.factors[15:], [[0.1, 0.1, 0.0]] * 25)


def test_a_candidate_is_asked_nothing_if_its_likelihoods_say_enough() -> None:
    sure = Likely(0.01, 0.99, 0.0)
    plan = replace(asking(archives(*FULL), best=1.8), likely={"a": sure, "b": sure})
    with pytest.raises(CannotEnter) as stop:
        plan.informed({"a": skilled(0.4), "b": skilled(0.5)})
    assert stop.value.bounds == {"a": (0.0, 1.0), "b": (0.0, 1.0)} and not stop.value.samples
    good = plan.informed({"a": skilled(1.0), "b": skilled(1.0)})
    assert good.chance({}) > 0.9 and len(good.order) == len(plan.order)
    plain = asking(archives(*FULL), best=1.8)
    assert plain.informed({}) is plain
