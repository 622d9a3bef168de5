"""What holds for every section of a recipe: true and false are no numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.evolution import Evolution
from mergekit_cycleqd.recipe.from_mergekit_evolve import EvolveFile
from mergekit_cycleqd.recipe.load import parse_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.section import Strict
from tests.support.recipes import TASK, recipe_content


def sections(kind: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for section in kind.__subclasses__():
        yield section
        yield from sections(section)


def takes(schema: dict[str, Any]) -> set[str]:
    """The types of JSON that a schema takes, not looking into sections and lists."""
    kinds = {schema["type"]} if isinstance(schema.get("type"), str) else set()
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        kinds |= takes(part)
    return kinds


NUMBERS = [
    pytest.param(section, key, id=f"{section.__name__}.{key}")
    for section in dict.fromkeys([*sections(Strict), *sections(EvolveFile.__base__)])  # type: ignore[arg-type]
    for key, schema in section.model_json_schema()["properties"].items()
    if takes(schema) & {"integer", "number"} and "boolean" not in takes(schema)
]


OF_EVOLVE = {"genome": {"models": ["a"], "merge_method": "linear"}, "tasks": ["a"]}
NEEDED: dict[str, dict[str, Any]] = {
    "Adaptive": {"kind": "adaptive"},
    "EvolveFile": OF_EVOLVE,
    "EvolveGenome": OF_EVOLVE["genome"],  # type: ignore[dict-item]
    "EvolveTask": {"name": "a"},
    "Fit": {"kind": "fit"},
    "GaussianMutation": {"kind": "gaussian"},
    "IsoLine": {"kind": "iso_line"},
    "SeveralTaskVectors": {"kind": "several", "kinds": ["plain", "wudi"]},
    "SingularTaskVectors": {"kind": "tsv"},
    "Task": TASK,
    "Tokenizer": {"source": "base"},
    "WudiTaskVectors": {"kind": "wudi"},
}
"""What a section must hold beside the number."""


def test_numbers_are_found_in_all_kinds_of_sections() -> None:
    assert len(NUMBERS) > 40


@pytest.mark.parametrize("boolean", [True, False])
@pytest.mark.parametrize(("section", "key"), NUMBERS)
def test_a_boolean_is_no_number(section: type[BaseModel], key: str, boolean: bool) -> None:
    with pytest.raises(ValidationError) as caught:
        section.model_validate(NEEDED.get(section.__name__, {}) | {key: boolean})
    assert key in {fault["loc"][0] for fault in caught.value.errors()}


@pytest.mark.parametrize(
    ("evolution", "line"),
    [
        ({"budget": {"answers": True}}, "evolution.budget.answers: must be a number, got True"),
        ({"children": True}, "evolution.children: must be a number, got True"),
        ({"founders": [0.3, True]}, "evolution.founders[1]: must be a number, got True"),
    ],
)
def test_a_boolean_in_a_recipe_is_one_line(evolution: dict[str, Any], line: str) -> None:
    content = recipe_content() | {"evolution": evolution}
    with pytest.raises(RecipeError) as caught:
        parse_recipe(content, Path("recipe.yaml"))
    assert caught.value.faults == (f"recipe.yaml: {line}",)


def test_true_and_false_stay_what_they_are_where_they_may_stand() -> None:
    assert Evolution.model_validate({"early_stop": True}).early_stop is True
    assert Engine.model_validate({"enable_thinking": False}).enable_thinking is False
    task = recipe_content()["tasks"][0] | {"apply_chat_template": True}
    content = recipe_content()
    content["tasks"][0] = task
    assert Recipe.model_validate(content).tasks[0].apply_chat_template is True
