"""Two models on the same samples: known values, and how often intervals are right."""

from __future__ import annotations

import numpy as np
import pytest

from mergekit_cycleqd.run_folder.paired import Difference, difference, mean_difference
from mergekit_cycleqd.run_folder.sample_scores import SampleScores


def of_counts(both: int, first: int, second: int, neither: int) -> Difference:
    """The difference of two models that so many samples are answered right by."""
    one = [1.0] * (both + first) + [0.0] * (second + neither)
    other = [1.0] * both + [0.0] * first + [1.0] * second + [0.0] * neither
    found = difference(np.array(one), np.array(other))
    assert found is not None
    return found


def test_the_interval_is_newcombes() -> None:
    """Of 20, 12, 2 and 16 pairs, as the R package contingencytables 3.1.0 has it."""
    found = of_counts(20, 12, 2, 16)
    assert found.value == pytest.approx(0.2)
    assert found.interval == pytest.approx((0.05616, 0.32921), abs=1e-5)
    assert str(found) == "+0.200 [+0.056, +0.329]" and found.by() == "0.200 [0.056, 0.329]"
    assert found.is_told and (found.higher, found.lower, found.samples) == (12, 2, 50)


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [(12, 2, "better"), (2, 12, "worse"), (5, 5, "level"), (0, 0, "level")],
)
def test_models_of_equal_means_are_level(first: int, second: int, word: str) -> None:
    assert of_counts(20, first, second, 16).word == word


@pytest.mark.parametrize(
    ("first", "second", "p"),
    [(12, 2, 2 * (1 + 14 + 91) / 2**14), (2, 12, 2 * (1 + 14 + 91) / 2**14), (5, 5, 1.0),
     (0, 0, 1.0), (0, 1, 1.0), (0, 3, 0.25)],
)  # fmt: skip
def test_the_test_is_mcnemars_exact_one(first: int, second: int, p: float) -> None:
    assert of_counts(20, first, second, 16).p == pytest.approx(p)


def test_models_that_swap_places_swap_the_sign() -> None:
    there, back = of_counts(20, 12, 2, 16), of_counts(20, 2, 12, 16)
    assert back.value == pytest.approx(-there.value)
    assert back.interval == pytest.approx((-there.interval[1], -there.interval[0]))
    assert back.by() == "0.200 [0.056, 0.329]" and str(back).startswith("-0.200 [-0.329, -0.056]")


def pairs(count: int, random: np.random.Generator) -> tuple[SampleScores, SampleScores]:
    """Two models, right on 80 % and 70 % of samples that are hard for both."""
    hard = random.random(count)
    first = (hard + random.normal(0, 0.1, count) < 0.8).astype(float)
    return first, (hard + random.normal(0, 0.1, count) < 0.7).astype(float)


def truth() -> float:
    first, second = pairs(2_000_000, np.random.default_rng(9))
    return float(first.mean() - second.mean())


def test_intervals_hold_the_truth_19_times_of_20_and_are_narrower_than_unpaired_ones() -> None:
    random, true = np.random.default_rng(3), truth()
    found = [difference(*pairs(100, random)) for _ in range(400)]
    held = sum(each.interval[0] <= true <= each.interval[1] for each in found if each)
    assert 0.925 <= held / 400 <= 0.985
    width = np.mean([each.interval[1] - each.interval[0] for each in found if each])
    assert width < 0.8 * 2 * 1.96 * np.sqrt((0.8 * 0.2 + 0.7 * 0.3) / 100)


def test_a_bootstrap_over_samples_holds_the_truth_too_and_is_always_the_same() -> None:
    random, true = np.random.default_rng(4), truth()
    held = 0
    for _ in range(60):
        first, second = pairs(100, random)
        found = difference(first * 0.5 + 0.25, second * 0.5 + 0.25)
        assert found is not None
        held += found.interval[0] <= true / 2 <= found.interval[1]
    assert held >= 52
    assert difference(first * 0.5, second * 0.5) == difference(first * 0.5, second * 0.5)


def test_a_mean_over_tasks_resamples_each_task() -> None:
    random = np.random.default_rng(5)
    tasks = [pairs(count, random) for count in (60, 100, 240)]
    found = mean_difference(tasks)
    assert found is not None
    assert found.value == pytest.approx(np.mean([a.mean() - b.mean() for a, b in tasks]))
    spread = np.sqrt(sum((a - b).var() / len(a) for a, b in tasks)) / 3
    assert found.interval[1] - found.interval[0] == pytest.approx(2 * 1.96 * spread, rel=0.05)
    assert found.samples == 400 and found.p < 0.01
    assert mean_difference(tasks[:1]) == difference(*tasks[0])
    assert mean_difference([]) is None


def test_samples_without_a_score_are_left_out() -> None:
    first, second = np.array([1.0, np.nan, 1.0, 0.0]), np.array([0.0, 1.0, np.nan, 0.0])
    found = difference(first, second)
    assert found is not None and (found.samples, found.value) == (2, 0.5)
    assert difference(first[1:2], second[1:2]) is None
    assert mean_difference([(first, second), (first[1:2], second[1:2])]) is None


def test_one_sample_and_equal_models_tell_nothing() -> None:
    one = difference(np.array([0.5]), np.array([0.25]))
    assert one is not None and not one.is_told and one.p == 1.0
    same = difference(np.array([0.5, 0.25, 0.1]), np.array([0.5, 0.25, 0.1]))
    assert same is not None and str(same) == "+0.000 [+0.000, +0.000]" and not same.is_told
    assert same.p == 1.0
