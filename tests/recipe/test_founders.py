"""Founders of kind `fit` in a recipe: what they mean, and what is said of faults."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.recipe.founders import Fit
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from tests.support.recipes import Change, RecipeMaker, recipe_content

FIT: dict[str, Any] = {"kind": "fit"}


def meant(**evolution: Any) -> Recipe:
    return Recipe.model_validate(recipe_content(evolution=evolution))


def test_a_fit_alone_has_a_founder_of_each_kind_of_the_run() -> None:
    recipe = meant(founders=[FIT], task_vectors={"kinds": ["plain", "tsv"]})
    fit = Fit(kind="fit")
    assert (fit.groups, fit.steps, fit.batch) == ("tensor", 40, 48)
    plain, singular = recipe.families
    assert recipe.founders == ((plain, fit), (singular, fit))


def test_kinds_that_a_fit_names_join_the_run_with_their_usual_numbers() -> None:
    recipe = meant(founders=[0.5, FIT | {"over": ["wudi", "plain", "tsv"]}])
    kinds = [family.task_vectors for family in recipe.families]
    assert kinds == [PLAIN, TaskVectors("tsv", 1 / 3), TaskVectors("wudi", 0.1)]
    weights = [(family.task_vectors.kind, founder) for family, founder in recipe.founders]
    fit = recipe.evolution.fit
    assert weights == [("plain", 0.5), ("plain", fit), ("tsv", fit), ("wudi", fit)]
    assert recipe.uses_directions and recipe.family.task_vectors == PLAIN
    own = meant(founders=[FIT | {"over": ["wudi"]}], task_vectors={"kind": "wudi", "lambda": 2})
    assert [family.task_vectors for family in own.families] == [TaskVectors("wudi", 2.0)]


def test_a_fit_takes_half_of_the_search_samples_unless_a_task_says_which() -> None:
    content = recipe_content(evolution={"founders": [FIT]})
    content["tasks"][1] = content["tasks"][1] | {"samples": {"search": "0-9", "fit": "10-19"}}
    recipe = Recipe.model_validate(content)
    assert [str(task.samples.fit) for task in recipe.tasks] == ["half", "10-19", "half"]
    written = recipe.written()
    assert written["tasks"][1]["samples"]["fit"] == "10-19"
    assert written["evolution"]["founders"] == [
        {"kind": "fit", "groups": "tensor", "over": None, "steps": 40, "batch": 48}
    ]
    assert Recipe.model_validate(written) == recipe


def test_a_recipe_without_a_fit_is_written_as_before() -> None:
    written = Recipe.model_validate(recipe_content()).written()
    assert set(written["tasks"][0]["samples"]) == {"search", "holdout", "again"}


def founders(*items: Any, **evolution: Any) -> Change:
    return lambda content: content["evolution"].update(founders=list(items), **evolution)


def with_fit(**section: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["founders"] = [FIT]
        for key, value in section.items():
            content[key] = value

    return change


def samples(**given: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        content["tasks"][0]["samples"] |= given

    return change


def both(*changes: Change) -> Change:
    def change(content: dict[str, Any]) -> None:
        for each in changes:
            each(content)

    return change


FAULTS: list[tuple[Change, str]] = [
    (
        founders({"kind": "fitt"}),
        "evolution.founders[0].kind: must be 'fit', got 'fitt'",
    ),
    (founders({"groups": "tensor"}), "evolution.founders[0].kind: is required"),
    (
        founders(0.5, FIT | {"group": "layer"}),
        "evolution.founders[1].group: unknown key; did you mean 'groups'",
    ),
    (
        founders(FIT | {"groups": "head"}),
        "evolution.founders[0].groups: must be 'tensor', 'layer', 'kind' or 'all', got 'head'",
    ),
    (
        founders(FIT | {"over": ["ties"]}),
        "evolution.founders[0].over[0]: must be 'plain', 'tsv' or 'wudi', got 'ties'",
    ),
    (founders(FIT | {"over": []}), "evolution.founders[0].over: must name one kind or more"),
    (founders(FIT | {"over": ["tsv", "tsv"]}), "evolution.founders[0].over: tsv stands twice"),
    (founders(FIT | {"steps": 0}), "evolution.founders[0].steps: must be greater than or equal to"),
    (founders(FIT, FIT), "evolution: founders holds two sections of kind fit"),
    (
        founders(FIT, mutation={"kind": "svd", "basis": "child"}),
        "evolution: founders of kind fit with groups tensor cannot be mutated along",
    ),
    (
        founders(FIT | {"over": ["plain"]}, task_vectors={"kind": "both"}),
        "evolution: task_vectors of kind both needs founders",
    ),
    (
        with_fit(engine={"kind": "vllm"}),
        "evolution.founders[0]: a fit needs derivatives, which engine.kind vllm does not give",
    ),
    (
        with_fit(workers={"kind": "ray"}),
        "evolution.founders[0]: a fit runs in this process, and with workers.kind ray",
    ),
    (samples(fit="0-3"), "tasks[0].samples: search (0-23) and fit (0-3) must be disjoint"),
    (samples(fit="30-"), "tasks[0].samples: holdout (24-) and fit (30-) must be disjoint"),
    (
        samples(fit="half"),
        "tasks[0].samples.fit: is for founders of kind fit, and evolution.founders has none",
    ),
    (both(with_fit(), samples(fit="halves")), "tasks[0].samples.fit: must be ids such as"),
]


@pytest.mark.parametrize(("change", "said"), FAULTS, ids=[said[:60] for _, said in FAULTS])
def test_a_fault_of_a_fit_gives_one_line(
    change: Change, said: str, make_named_recipe: RecipeMaker
) -> None:
    with pytest.raises(RecipeError) as error:
        load_recipe(make_named_recipe(change))
    (line,) = error.value.faults
    assert said in line
