"""A plan says in which dtype models are scored and written."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.plan.dtypes import dtype_findings
from mergekit_cycleqd.recipe.load import load_recipe
from tests.support.plans import plan
from tests.support.recipes import RecipeMaker, write_run_recipe

HALF, BRAIN, FULL, DOUBLE = torch.float16, torch.bfloat16, torch.float32, torch.float64
MERGED = "merged models in"

CASES: list[tuple[str, list[list[torch.dtype]], str]] = [
    ("auto", [[BRAIN], [BRAIN]], f"{MERGED} bfloat16, as the base; sums in float32"),
    (
        "auto",
        [[HALF], [BRAIN], [HALF], [BRAIN]],
        f"{MERGED} float16, as the base; experts[0].model, experts[2].model in bfloat16; sums in "
        "float32",
    ),
    ("bfloat16", [[FULL], [FULL]], f"{MERGED} bfloat16, as engine.dtype says; sums in float32"),
    (
        "auto",
        [[BRAIN, FULL, torch.int64], [BRAIN]],
        f"{MERGED} bfloat16 and float32, tensor by tensor, as the base; experts[0].model in "
        "bfloat16; sums in float32",
    ),
    (
        "auto",
        [[DOUBLE], [FULL]],
        f"{MERGED} float64, as the base; experts[0].model in float32; sums in float64",
    ),
]


def model(folder: Path, dtypes: Sequence[torch.dtype], says: str | None = None) -> Checkpoint:
    folder.mkdir()
    tensors = {f"t{i}": torch.ones(1, dtype=dtype) for i, dtype in enumerate(dtypes)}
    save_file(tensors, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"dtype": says} if says else {}))
    return Checkpoint.open(str(folder))


@pytest.fixture
def said(make_named_recipe: RecipeMaker, tmp_path: Path) -> Callable[..., str]:
    """Gives the one line for models, the base first, each by its dtypes and what config says."""

    def line(engine: str, *models: Sequence[torch.dtype], says: str | None = None) -> str:
        keys = ["base_model", *(f"experts[{i}].model" for i in range(len(models) - 1))]
        recipe = load_recipe(make_named_recipe(lambda c: c["engine"].update(dtype=engine)))
        found = {key: model(tmp_path / key, d, says) for key, d in zip(keys, models, strict=True)}
        finding, *unseen = dtype_findings(recipe, found)
        assert (finding.level, finding.part) == ("ok", "dtype")
        experts = [f"experts[{i}].model" for i in range(len(models) - 1, 3)]
        missing = [f"not compared: {', '.join(experts)}"] if experts else []
        assert [each.text for each in unseen] == missing
        return finding.text

    return line


@pytest.mark.parametrize(("engine", "models", "text"), CASES, ids=[text for *_, text in CASES])
def test_it_is_said_in_a_line(
    engine: str, models: list[list[torch.dtype]], text: str, said: Callable[..., str]
) -> None:
    assert said(engine, *models) == text


def test_a_config_that_says_another_dtype_is_named(said: Callable[..., str]) -> None:
    assert said("auto", [FULL], [FULL], says="float16") == (
        "merged models are written in float32, as the base, and loaded and scored in float16, as "
        "its config.json says; sums in float32"
    )


def test_without_the_base_nothing_is_said(make_named_recipe: RecipeMaker) -> None:
    (finding,) = dtype_findings(load_recipe(make_named_recipe()), {})
    assert (finding.level, finding.text) == ("skipped", "needs the base")


def test_the_command_shows_it(
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    green = Path(shutil.copytree(family.experts[1], tmp_path / "green"))
    tensors = {n: t.to(BRAIN) for n, t in load_file(green / "model.safetensors").items()}
    save_file(tensors, green / "model.safetensors", metadata={"format": "pt"})
    experts = (family.experts[0], str(green), family.experts[2])
    recipe = write_run_recipe(
        tmp_path / "recipe.yaml",
        Family(family.base_model, experts),
        lambda content: content.update(engine={"dtype": "auto", "device": "cpu"}),
    )
    found = plan(recipe, capsys, monkeypatch)
    assert found.code == 0
    assert found.only("dtype") == (
        "✓",
        f"{MERGED} float32, as the base; experts[1].model in bfloat16; sums in float32",
    )
