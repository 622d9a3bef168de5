"""A score with its interval, and how many samples it rests on."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.sample_counts import SUMMARY, sample_counts
from mergekit_cycleqd.run_folder.score import Score, wilson
from mergekit_cycleqd.system.markdown import markdown_table


@pytest.mark.parametrize(
    ("share", "samples"), [(0.0, 10), (1.0, 10), (0.5, 10), (0.25, 200), (1.0, 1), (0.9, 1319)]
)
def test_the_interval_holds_the_shares_that_95_percent_of_samples_could_come_from(
    share: float, samples: int
) -> None:
    """Wilson's: at its ends, what was seen is 1.96 standard deviations of that end away."""
    low, high = wilson(share, samples)
    assert 0 <= low <= share <= high + 1e-15 <= 1 + 1e-15
    for end in (low, high):
        deviation = math.sqrt(end * (1 - end) / samples)
        if 1e-12 < end < 1 - 1e-12:
            assert abs(share - end) == pytest.approx(1.959963984540054 * deviation, abs=1e-12)
    assert (low == 0) == (share == 0) and (high > 1 - 1e-12) == (share == 1)


@pytest.mark.parametrize(
    ("value", "samples", "is_share"),
    [
        (0.0, 10, True),
        (1.0, 10, True),
        (0.3, 10, True),
        (0.35, 10, False),
        (0.3 + 5e-8, 10, True),  # rounding of a sum
        (0.3 + 5e-7, 10, False),
        (0.3 - 5e-7, 10, False),
        (-0.1, 10, False),
        (2.0, 10, False),
        (1.1, 10, False),
        (1.0, 1, True),
        (0.5, None, False),
        (0.5, 0, False),
    ],
)
def test_only_a_share_of_the_samples_has_an_interval(
    value: float, samples: int | None, is_share: bool
) -> None:
    score = Score.of(value, samples)
    assert (score.value, score.samples) == (value, samples)
    assert (score.interval is not None) == is_share
    if is_share and samples:
        assert score.interval == wilson(value, samples)


def test_a_score_is_written_with_three_digits() -> None:
    assert str(Score(0.81549, 200, (0.7561, 0.8634))) == "0.815 [0.756, 0.863]"
    assert str(Score(12.34567, None, None)) == "12.346"


def test_a_share_of_two_samples_or_more_has_a_standard_error() -> None:
    assert Score.of(0.5, 100).error == pytest.approx((0.25 / 99) ** 0.5)
    assert Score.of(0.5, 2).error == pytest.approx(0.5)
    assert Score.of(1.0, 1).error is None
    assert Score.of(0.123, 10).error is None
    assert Score.of(0.123, 400).error is None
    assert Score(0.5, None, (0.4, 0.6)).error is None


def test_numbers_of_a_table_stand_at_the_right_of_its_texts() -> None:
    head, rows = ["model", "kind", "a"], [["x", "y", "1"], ["z", "w", "2"]]
    assert markdown_table(head, rows, texts=2) == (
        "| model | kind | a |\n| --- | --- | ---: |\n| x | y | 1 |\n| z | w | 2 |"
    )
    assert markdown_table(["m", "a", "b"], []).splitlines()[1] == "| --- | ---: | ---: |"


def recipe(red: dict[str, str], green: dict[str, str]) -> Recipe:
    samples = {"red": red, "green": green}
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": f"expert-{t}", "task": t} for t in samples],
            "tasks": [
                {"name": t, "task": t, "metric": "acc", "samples": ids}
                for t, ids in samples.items()
            ],
        }
    )


def test_samples_are_counted_from_the_recipe(tmp_path: Path) -> None:
    asked = recipe({"search": "0-9,20-24", "holdout": "30"}, {"search": "5"})
    assert sample_counts(tmp_path, asked) == {
        "search": {"red": 15, "green": 1},
        "holdout": {"red": 1},
    }


def test_where_the_recipe_leaves_the_end_open_the_summary_tells_it(tmp_path: Path) -> None:
    asked = recipe({"search": "0-9", "holdout": "10-"}, {"search": "0-4,7-", "holdout": "5-6"})
    assert sample_counts(tmp_path, asked) == {"search": {"red": 10}, "holdout": {"green": 2}}
    head = "| model | red (search, n=99) | green (search, n=33) | red (holdout, n=90) |"
    (tmp_path / SUMMARY).write_text(head)
    assert sample_counts(tmp_path, asked) == {
        "search": {"red": 10, "green": 33},
        "holdout": {"red": 90, "green": 2},
    }
