"""Samples of all tasks in one row, and whole tasks among them."""

from __future__ import annotations

import numpy as np

from mergekit_cycleqd.search.fidelity.questions import Questions

QUESTIONS = Questions(("a", "whole", "b"), {"b": 3, "a": 2})


def test_a_row_gives_back_every_score() -> None:
    samples = {"a": np.array([1.0, 0.0]), "b": np.array([1.0, 0.25, 1.0])}
    row = QUESTIONS.row(samples, {"a": 0.5, "whole": 20.0, "b": 0.75})
    assert row.tolist() == [1.0, 0.0, 20.0, 1.0, 0.25, 1.0]
    np.testing.assert_allclose(QUESTIONS.shares @ row, [0.5, 20.0, 0.75])
    assert QUESTIONS.in_parts.tolist() == [True, True, False, True, True, True]


def test_questions_are_samples_by_task_in_ascending_order() -> None:
    assert QUESTIONS.by_task([5, 1, 3]) == {"a": [1], "b": [0, 2]}
    assert QUESTIONS.by_task([]) == {}
    assert QUESTIONS.numbers("b", [0, 2]).tolist() == [3, 5]
