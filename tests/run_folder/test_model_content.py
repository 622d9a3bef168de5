"""A run is not gone on with over what its repositories changed below their fingerprints."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.run_folder.model_content import KEY, renamed
from mergekit_cycleqd.run_folder.resume_check import differences
from tests.support.recipes import recipe_content


def header(content: Any) -> dict[str, Any]:
    prints = {"org/base": "x", "org/red": "y", "org/green": "z"}
    return {"recipe": recipe_content(), "fingerprints": prints, KEY: content}


WAS = {
    "org/base": {"weights": "a", "texts": "1"},
    "org/red": {"weights": None},
    "org/green": {"weights": "c"},
}


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, []),
        (
            {"org/base": {"weights": "a", "texts": "2"}},
            ["models.org/base: its tokenizer, templates or settings were others"],
        ),
        ({"org/red": {"weights": "b"}}, []),  # a folder that is now on the Hub
        ({"org/green": {"weights": None}}, []),
        ({"org/green": {"weights": "d"}}, ["models.org/green: its weights were others"]),
        ({"org/green": "d"}, []),
    ],
)
def test_what_changed_is_said(now: dict[str, Any], said: list[str]) -> None:
    found = list(differences(header(WAS), header(WAS | now)))
    assert [line.strip().partition(";")[0] for line in found] == said


@pytest.mark.parametrize("strange", [None, "a", ["a"], {"org/green": ["a"]}])
def test_headers_of_earlier_versions_and_of_strangers_say_nothing_of_it(strange: Any) -> None:
    assert not list(differences(header(strange), header(WAS)))
    assert not list(differences(header(WAS), header(strange)))


def test_models_get_other_names_in_all_that_a_header_says_of_them() -> None:
    names = {"org/base": "org/base@1", "org/green": "./green"}
    assert renamed(header(WAS), names) == {
        "fingerprints": {"org/base@1": "x", "./green": "z"},
        KEY: {"org/base@1": WAS["org/base"], "./green": WAS["org/green"]},
    }
    assert renamed({"fingerprints": {"org/base": "x"}}, names) == {
        "fingerprints": {"org/base@1": "x"}
    }
