"""What spans an archive: its axes in their order, their names, cells and ranges."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mergekit_cycleqd.recipe.measures import MeasureAxis, axes_of
from mergekit_cycleqd.recipe.recipe import Recipe
from tests.support.recipes import recipe_content


def axes(measures: Any = None, tasks: str = "abc", **task: Any) -> tuple[MeasureAxis, ...]:
    content = recipe_content(tasks)
    content["tasks"][0] |= task | ({} if measures is None else {"measures": measures})
    return axes_of(Recipe.model_validate(content), "a")


def test_other_tasks_span_an_archive_and_with_one_task_the_weights() -> None:
    assert [(axis.name, axis.task) for axis in axes()] == [("b", "b"), ("c", "c")]
    (only,) = axes(tasks="a")
    assert only == MeasureAxis("weight of a", 15, (0.0, 1.5), expert=0)


def test_measures_are_taken_in_their_order_and_each_once() -> None:
    found = axes(["f1,none", {"task": "c", "bins": 3}, "tasks", {"of": "weights", "bins": 2}])
    assert [(axis.name, axis.bins) for axis in found] == [
        ("f1,none of a", 15),
        ("c", 3),
        ("b", 15),
        ("weight of a", 2),
        ("weight of b", 2),
        ("weight of c", 2),
    ]
    assert found[0].metric == ("a", "f1,none")


@pytest.mark.parametrize(
    ("word", "near"),
    [("weigths", "weights"), ("task", "tasks"), ("output_lenght", "output_length")],
)
def test_a_word_that_is_nearly_one_of_ours_is_doubted(word: str, near: str) -> None:
    with pytest.raises(ValidationError, match=f"did you mean {near}.*{{metric: {word}}}"):
        axes([word])
    assert axes([{"metric": word}])[0].metric == ("a", word)


@pytest.mark.parametrize("word", ["f1,none", "length", "acc,none", "weight_decay"])
def test_other_metrics_are_taken_as_they_are(word: str) -> None:
    assert axes([word])[0].metric == ("a", word)


def test_an_axis_has_its_tasks_range_unless_it_has_its_own() -> None:
    (axis,) = axes([{"metric": "output_length", "range": [0, 500], "bins": 7}])
    assert (axis.bins, axis.range) == (7, (0.0, 500.0))
    (axis,) = axes([{"of": "weights", "range": [0, 2]}], "a")
    assert axis.range == (0.0, 2.0)
    (axis,) = axes([{"of": "weights", "range": "auto"}], "a")
    assert axis.range == (0.0, 1.5)


def test_what_a_task_reports_is_what_its_evaluator_is_asked_for() -> None:
    content = recipe_content("ab")
    content["tasks"][0]["measures"] = ["weights", "output_length", {"task": "b"}, "f1,none"]
    recipe = Recipe.model_validate(content)
    assert [task.reports for task in recipe.tasks] == [("output_length", "f1,none"), ()]
    assert Recipe.model_validate(recipe.written()).written() == recipe.written()


# ---- bins: auto ----


@pytest.mark.parametrize(
    ("change", "cells"),
    [
        ({"samples": {"search": "0-7"}}, 9),
        ({"samples": {"search": "0-99"}}, 15),
        ({"samples": {"search": "0-"}}, 15),  # how many there are only the task knows
        ({"samples": {"search": "0-3,2-5"}, "repeats": 2}, 13),
        ({"samples": {"search": "0-7"}, "metric": "f1,none"}, 15),  # between right and wrong
        ({"samples": {"search": "0-7"}, "range": [0.25, 0.5]}, 5),
        ({"samples": {"search": "0-7"}, "bins": 12}, 12),
    ],
    ids=str,
)
def test_automatic_bins_are_no_more_than_the_samples_can_fill(
    change: dict[str, Any], cells: int
) -> None:
    content = recipe_content("ab")
    content["tasks"][1] |= {"bins": "auto", **change}
    (axis,) = axes_of(Recipe.model_validate(content), "a")
    assert axis.bins == cells
