"""A run is not gone on with over what its repositories changed below their fingerprints."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.run_folder.resume_check import CONTENT, differences
from tests.support.recipes import recipe_content


def header(**content: Any) -> dict[str, Any]:
    there = {"texts": "1", "weights": ["a", None, "c"]} | content
    return {
        "recipe": recipe_content(),
        "fingerprints": {"org/base": "x", "org/red": "y", "org/green": "z"},
        CONTENT: there,
    }


@pytest.mark.parametrize(
    ("now", "said"),
    [
        ({}, []),
        ({"texts": "2"}, ["tokenizer, templates or settings of the base: were others"]),
        ({"weights": ["a", "b", "c"]}, []),  # a folder that is now on the Hub
        ({"weights": ["a", None, None]}, []),
        ({"weights": ["a", None, "d"]}, ["models.org/green: its weights were others"]),
        ({"weights": "a"}, []),
    ],
)
def test_what_changed_is_said(now: dict[str, Any], said: list[str]) -> None:
    found = list(differences(header(), header(**now)))
    assert [line.strip().partition(";")[0] for line in found] == said


def test_headers_of_earlier_versions_say_nothing_of_it() -> None:
    old = header()
    del old[CONTENT]
    assert not list(differences(old, header())) and not list(differences(header(), old))
