"""A run keeps the lag that its number of workers gave it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.resume_check import as_begun
from tests.support.recipes import recipe_content, write_run_recipe
from tests.support.runs import main_ok


@pytest.mark.parametrize(
    ("said", "kept"), [("auto", 4), (8, 8), (1, 1)], ids=["auto", "more", "less"]
)
def test_auto_is_what_the_run_has(said: Any, kept: int) -> None:
    content = recipe_content(evolution={"lag": said}, workers={"count": 3})
    header = {"recipe": recipe_content(evolution={"lag": 4}), "rules": 2}
    assert as_begun(Recipe.model_validate(content), header).lag == kept


def test_a_run_goes_on_with_more_workers(
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "400")

    def few(content: dict[str, Any]) -> None:
        content["evolution"]["children"] = 2

    def many(content: dict[str, Any]) -> None:
        few(content)
        content["workers"] = {"count": 3}

    run = str(tmp_path / "run")
    main_ok([str(write_run_recipe(tmp_path / "recipe.yaml", family, few)), "--out", run])
    main_ok(["plan", str(write_run_recipe(tmp_path / "recipe.yaml", family, many)), "--out", run])
    told = " ".join(capsys.readouterr().out.split())
    assert "evolution.lag: goes on with 1, as the run in" in told
    assert "no more than 1 of 3 workers are busy" in told
