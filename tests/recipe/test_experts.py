"""Experts and tasks apart: any number of each, in one order, under names that differ."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mergekit_cycleqd.recipe.recipe import Recipe
from tests.support.recipes import recipe_content


def recipe(experts: Mapping[str, str | None], tasks: str = "ab") -> Recipe:
    listed = [{"model": model, **({"task": t} if t else {})} for model, t in experts.items()]
    return Recipe.model_validate(recipe_content(tasks, experts=listed))


def test_experts_stand_in_the_order_of_their_tasks_and_others_last() -> None:
    found = recipe({"x": None, "b1": "b", "y": None, "a1": "a", "b2": "b"})
    assert found.family.experts == ("a1", "b1", "b2", "x", "y")
    assert [expert.model for expert in found.experts] == ["x", "b1", "y", "a1", "b2"]
    assert [found.experts_of(task) for task in "ab"] == [(0,), (1, 2)]


def test_a_task_without_an_expert_has_all_of_them() -> None:
    assert recipe({"x": None, "a1": "a"}).experts_of("b") == (0, 1)


def test_an_only_expert_is_called_by_its_task_and_others_by_their_models_too() -> None:
    models = {"org/one": "a", "org/two": "b", "/x/two": "b", "org/two@v1": None}
    assert recipe(models).expert_names == ("a", "b (two)", "b (two) 2", "two")
    assert recipe({"org/a": None, "x/m": None, "y/m": None}).expert_names == ("model a", "m", "m 2")
    assert recipe({"base+org/adapter": None}).expert_names == ("adapter",)


def test_a_recipe_of_before_is_written_as_before() -> None:
    content: dict[str, Any] = recipe_content("ab")
    written = Recipe.model_validate(content).written()
    assert written["experts"] == content["experts"]
    assert all("measures" not in task and task["bins"] == 15 for task in written["tasks"])
