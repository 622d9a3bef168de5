"""What `make faults` tries of recipes and models of strangers, a few times less."""

from __future__ import annotations

import pytest

from benchmarks.faults import recipes, strangers
from benchmarks.faults.scene import Scene
from tests.support import fault_scenes
from tests.support.fault_scenes import nothing_is_wrong

scene = fault_scenes.scene


@pytest.mark.slow
def test_a_run_recipe_with_any_value_at_any_place_is_read_or_refused(scene: Scene) -> None:
    nothing_is_wrong(recipes.run_recipes(scene, 300), told="error: ")


def test_any_text_is_read_or_refused(scene: Scene) -> None:
    nothing_is_wrong(recipes.texts(scene, 500), told="error: ")


def test_a_model_recipe_with_any_value_at_any_place_is_read_or_refused(scene: Scene) -> None:
    nothing_is_wrong(recipes.model_recipes(scene, 200), told="error: ")


def test_yaml_bombs_are_one_line_and_run_nothing(scene: Scene) -> None:
    nothing_is_wrong(recipes.yaml_bombs(scene, 16), told="its aliases stand for too much text")


@pytest.mark.slow
def test_absurd_model_recipes_are_not_merged(scene: Scene) -> None:
    nothing_is_wrong(strangers.merged_recipes(scene, 99), told="mutation and noise are words")


@pytest.mark.slow
def test_models_of_strangers_run_nothing(scene: Scene) -> None:
    nothing_is_wrong(strangers.model_files(scene, 99), told="must name safetensors files beside it")
