"""What each sample scored, as a line of a journal has it."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergekit_cycleqd.run_folder.sample_results import is_mean
from mergekit_cycleqd.run_folder.sample_scores import STEPS, fault, pack, pack_task, unpack

NUMBERS = st.floats(-1e12, 1e12) | st.just(float("nan"))


@given(st.lists(st.booleans(), min_size=1, max_size=300))
def test_scores_of_0_and_1_take_a_character_for_six_samples(flags: list[bool]) -> None:
    packed = pack_task([float(flag) for flag in flags])
    assert isinstance(packed, str) and len(packed) == -(-len(flags) // 6)
    assert fault(packed, len(flags)) == ""
    assert unpack(packed, len(flags)).tolist() == flags


def test_a_hundred_samples_take_17_characters() -> None:
    assert pack({"coding": [1.0, 0.0] * 50}) == {"coding": "q" * 16 + "o"}


@given(st.lists(NUMBERS, min_size=1, max_size=80))
def test_other_scores_keep_their_place_between_the_lowest_and_the_highest(
    scores: list[float],
) -> None:
    known = np.array([score for score in scores if score == score])
    if not len(known):
        return
    packed = json.loads(json.dumps(pack_task(scores)))
    assert fault(packed, len(scores)) == ""
    found = unpack(packed, len(scores))
    assert np.isnan(found).tolist() == [score != score for score in scores]
    span = max(1.0, float(known.max() - known.min()))
    assert found[~np.isnan(found)] == pytest.approx(known, abs=0.501 * span / STEPS, rel=1e-9)


@pytest.mark.parametrize("answers", [2, 3, 4, 7, 10, 20])
def test_shares_of_a_few_answers_are_exact(answers: int) -> None:
    shares = [right / answers for right in range(answers + 1)]
    assert unpack(pack_task(shares), answers + 1).tolist() == shares


def test_equal_scores_that_are_no_shares_come_back() -> None:
    assert unpack(pack_task([-3.5, -3.5]), 2).tolist() == [-3.5, -3.5]
    assert unpack(pack_task([1e300, float("inf"), 1e300]), 3)[::2].tolist() == [1e300, 1e300]


@pytest.mark.parametrize(
    "content",
    [
        None,
        7,
        "",
        "AA",
        "A" * 18,
        "A" * 16 + "+",
        "é" * 17,
        [],
        [0, 1],
        [0, 1, "A" * 199],
        [1, 0, "A" * 200],
        [0, float("inf"), "A" * 200],
        [True, 1, "A" * 200],
        [0, 1, "-_" * 100],
        ["A" * 17, "A" * 17],
        ["_" * 17, [0, 1, "AA"]],
        ["_" * 17, ["_" * 17, "A" * 17]],
        ["_" * 17, "A" * 17, "A", "A"],
    ],
)
def test_what_nobody_packed_is_told_with_what_was_needed(content: Any) -> None:
    assert fault(content, 100).startswith("needs the scores of 100 samples, got ")


def test_a_score_is_the_mean_of_its_samples_or_it_is_not() -> None:
    assert is_mean(np.array([1.0, 0.0, np.nan]), 0.5)
    assert not is_mean(np.array([1.0, 0.0]), 0.51)
    thirds = unpack(pack_task([0.1234567, 0.7654321]), 2)
    assert is_mean(thirds, 0.4444444)
    assert not is_mean(np.array([-3.0, -5.0]), 54.6), "a perplexity"
    assert not is_mean(np.array([np.nan]), 0.0)
