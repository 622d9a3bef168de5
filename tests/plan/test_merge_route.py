"""A run of a model that transformers renames, begun when draws went by the loaded names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.recipe_models import references
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.plan.merge_route import merge_findings
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from tests.support.families import COLOURS
from tests.support.model_zoo import CAUSAL
from tests.support.recipes import write_run_recipe
from tests.support.renamed_models import gemma3

FIRST: dict[str, Any] = {"recipe": {}}
NOW: dict[str, Any] = {"recipe": {}, "rules": 2}


def begun(folder: Path, model: Any, mutation: str) -> tuple[Recipe, dict[str, Checkpoint]]:
    folders = [str(folder / name) for name in ("base", *COLOURS)]
    for each in folders:
        model().save_pretrained(each)
    family = Family(folders[0], tuple(folders[1:]))

    def change(content: dict[str, Any]) -> None:
        content["evolution"]["mutation"] = {"kind": mutation}

    recipe = load_recipe(write_run_recipe(folder / "recipe.yaml", family, change))
    return recipe, {key: Checkpoint.open(name) for key, name in references(recipe).items()}


@pytest.mark.costly
@pytest.mark.parametrize(
    ("model", "kind", "header", "level"),
    [
        (gemma3, "svd", FIRST, "fault"),
        (gemma3, "gaussian", FIRST, "fault"),
        (gemma3, "none", FIRST, "ok"),
        (gemma3, "svd", NOW, "ok"),
        (gemma3, "svd", None, "ok"),
        (CAUSAL["Llama"], "svd", FIRST, "ok"),
    ],
)
def test_a_run_whose_draws_were_others_is_not_gone_on_with(
    model: Any, kind: str, header: Any, level: str, tmp_path: Path
) -> None:
    recipe, models = begun(tmp_path, model, kind)
    (found,) = merge_findings(recipe, models, header)
    assert found.level == level
    if level == "fault":
        assert found.text.startswith("evolution.mutation: ")
        assert "67 of 67 tensors, such as vision_tower." in found.text
        assert found.text.endswith("begin anew with another --out")
