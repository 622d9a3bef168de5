"""What is learned from answers predicts those of models that were not seen."""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from mergekit_cycleqd.search.fidelity.answer_model import AnswerModel
from mergekit_cycleqd.search.fidelity.expected import Array
from mergekit_cycleqd.search.fidelity.questions import Questions

QUESTIONS = Questions(("a", "b"), {"a": 60, "b": 60})


def population(count: int) -> tuple[Array, Array]:
    """Models at places, whose skills follow from these and from something that nobody sees."""
    rng = np.random.Generator(np.random.Philox(5))
    places = rng.uniform(-1, 1, size=(count, 2))
    skills = 3 * places + rng.normal(size=(count, 2))
    difficulty = rng.normal(size=(2, 60))
    chances = expit(2 * (skills[:, :, None] - difficulty))
    return places, (rng.uniform(size=chances.shape) < chances).astype(float).reshape(count, 120)


def test_few_answers_tell_much_of_the_scores_and_how_much_is_known() -> None:
    places, answers = population(160)
    model = AnswerModel.learn(places[:80], answers[:80], QUESTIONS.in_parts)
    before, after, at_random, missed = [], [], [], []
    rng = np.random.Generator(np.random.Philox(6))
    for place, row in zip(places[80:], answers[80:], strict=True):
        expected = model.expected(place)
        true = QUESTIONS.shares @ row
        order = expected.most_telling(QUESTIONS.shares, QUESTIONS.in_parts, 20)
        for asked, into in (
            ([], before),
            (order, after),
            (rng.permutation(120)[:20].tolist(), at_random),
        ):
            known = np.isin(np.arange(120), asked)
            means, covariance = expected.scores(QUESTIONS.shares, row, known)
            into.append(((means - true) ** 2).mean())
            if asked is order:
                missed.append((means - true) / np.sqrt(np.diag(covariance)))
    assert np.mean(after) < 0.35 * np.mean(before), "a sixth of the questions was asked"
    assert np.mean(after) < 0.9 * np.mean(at_random), "and these are the telling ones"
    assert 0.6 < np.std(missed) < 1.5, "the deviation that is told is the one that is there"


def test_a_task_that_is_no_share_keeps_its_unit() -> None:
    places, answers = population(40)
    score = 20 + 5 * places[:, :1] + np.random.Generator(np.random.Philox(7)).normal(size=(40, 1))
    questions = Questions(("a", "b", "whole"), {"a": 60, "b": 60})
    rows = np.concatenate([answers, score], axis=1)
    model = AnswerModel.learn(places, rows, questions.in_parts)
    expected = model.expected(np.array([0.5, 0.0]))
    means, covariance = expected.scores(questions.shares, rows[0], np.zeros(121, bool))
    assert 20 < means[2] < 25 and 0.5 < np.sqrt(covariance[2, 2]) < 3


def test_questions_that_all_models_answer_alike_are_no_trouble() -> None:
    places, answers = population(30)
    answers[:, 3], answers[:, 4] = 1.0, 0.0
    expected = AnswerModel.learn(places, answers, QUESTIONS.in_parts).expected(places[0])
    assert expected.means[3] > 0.95 and expected.means[4] < 0.05
    assert all(np.isfinite(each).all() for each in (expected.factors, expected.noise))
