"""The forms in which mergekit takes a model, as one text."""

from __future__ import annotations

from typing import Any

import pytest
from mergekit.common import ModelReference

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.references import as_text, with_folders

FORMS: list[tuple[Any, str]] = [
    ("org/a@v1+org/b", "org/a@v1+org/b"),
    ({"model": "org/a"}, "org/a"),
    ({"model": "org/a@v1", "lora": None}, "org/a@v1"),
    ({"model": "org/a", "lora": "org/b"}, "org/a+org/b"),
    ({"model": {"path": "org/a", "revision": None}, "lora": "org/b@v2"}, "org/a+org/b@v2"),
    ({"model": "org/a", "lora": {"path": "org/b", "revision": "v2"}}, "org/a+org/b@v2"),
    (
        {"model": {"path": "org/a", "revision": "v1"}, "lora": {"path": "org/b"}},
        "org/a@v1+org/b",
    ),
]


@pytest.mark.parametrize(("form", "text"), FORMS, ids=str)
def test_each_form_is_the_text_that_mergekit_makes_of_it(form: Any, text: str) -> None:
    assert as_text(form) == text == str(ModelReference.model_validate(form))


@pytest.mark.parametrize(
    "other",
    [
        {"lora": "org/b"},
        {"model": 3},
        {"model": {"revision": "v1"}},
        {"model": {"path": "a", "branch": "b"}},
        {"model": "org/a", "override_architecture": "LlamaForCausalLM"},
        {"model": "org/a", "lora": 3},
        None,
        3,
    ],
    ids=str,
)
def test_what_is_no_model_is_given_back(other: Any) -> None:
    assert as_text(other) is other


@pytest.mark.parametrize(("form", "text"), FORMS, ids=str)
def test_a_genome_is_read_from_each_form(form: Any, text: str) -> None:
    models = [{"model": form, "parameters": {"weight": 1.0}}]
    recipe = {"merge_method": "cycleqd", "base_model": {"model": "org/x"}, "models": models}
    family = Genome.from_mergekit(recipe).family
    assert (family.base_model, family.experts) == ("org/x", (text,))


def test_a_genome_cannot_hold_another_architecture() -> None:
    model = {"model": "org/a", "override_architecture": "LlamaForCausalLM"}
    models = [{"model": model, "parameters": {"weight": 1.0}}]
    recipe = {"merge_method": "cycleqd", "base_model": "org/base", "models": models}
    with pytest.raises(GenomeError, match=r"models\[0\]\.model: must be a text such as base\+ada"):
        Genome.from_mergekit(recipe)


def test_folders_are_put_into_each_form() -> None:
    asked = []

    def folder_of(part: str) -> str:
        asked.append(part)
        return f"/cache/{part.replace('/', '-')}"

    pinned = {"model": {"path": "org/a", "revision": "v1"}, "lora": "org/b"}
    made = with_folders({"models": [{"model": pinned}], "dtype": "float32"}, folder_of)
    assert made == {"models": [{"model": "/cache/org-a@v1+/cache/org-b"}], "dtype": "float32"}
    assert asked == ["org/a@v1", "org/b"]
