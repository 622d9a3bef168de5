"""What a plan says of the machine, in words that a beginner knows."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from mergekit_cycleqd.plan.environment import device_findings
from mergekit_cycleqd.plan.memory_and_disk import memory
from mergekit_cycleqd.plan.model_sizes import Sizes
from mergekit_cycleqd.recipe.recipe import Recipe
from tests.support.recipes import recipe_content


def recipe(**engine: Any) -> Recipe:
    return Recipe.model_validate(recipe_content(engine=engine))


def test_the_device_that_auto_chooses_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    (found,) = device_findings(recipe())
    assert (found.level, found.text) == ("ok", "hf on cpu, chosen by auto")
    (found,) = device_findings(recipe(device="cpu"))
    assert (found.level, found.text) == ("ok", "hf on cpu")
    (found,) = device_findings(recipe(device="cuda:99"))
    assert found.level == "fault" and found.text.startswith("engine.device: cannot use 'cuda:99'")


@pytest.mark.parametrize(
    ("kept", "on_disk", "words"),
    [
        (0, 0, "directions 0 B)"),
        (500, 100, "directions 500 B)"),
        (500, 0, "transformed task vectors 500 B)"),
    ],
)
def test_what_is_no_direction_is_not_called_one(kept: int, on_disk: int, words: str) -> None:
    needs = Sizes(1000, 1000, 3000, kept, on_disk, 0)
    (found,) = memory(recipe(device="cpu"), needs, exact=True)
    assert words in found.text
