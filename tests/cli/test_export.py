"""`export`: what mergekit alone can merge, it merges to the same weights; the rest is told."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.options import MergeOptions
from safetensors.torch import load_file

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from tests.support.families import adapted_family
from tests.support.merges import by_command
from tests.support.published_runs import make_run
from tests.support.runs import run_main

pytestmark = [pytest.mark.costly, pytest.mark.filterwarnings("ignore::FutureWarning")]
GROUPS = TensorGroups(("mlp", "layers.1."), ((0.9, 0.1, 0.0), (0.0, 0.0, 1.3)))


def exported(recipe: Path, out: Path) -> dict[str, torch.Tensor]:
    """The weights that mergekit makes of what is written, in whose text we are not named."""
    assert run_main("export", recipe, "--out", out) == 0
    content = yaml.safe_load(out.read_text())
    assert content["merge_method"] == "task_arithmetic" and set(content) <= {
        "merge_method", "base_model", "models", "dtype", "out_dtype", "tokenizer"
    }  # fmt: skip
    folder = out.parent / "by mergekit"
    options = MergeOptions(quiet=True, lora_merge_cache=str(out.parent / "loras"))
    run_merge(MergeConfiguration.model_validate(content), str(folder), options)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("kind", ["weights", "groups", "adapters"])
def test_mergekit_alone_makes_the_same_weights(kind: str, family: Family, tmp_path: Path) -> None:
    used = adapted_family(family, tmp_path) if kind == "adapters" else family
    genome = Genome(used, (0.5, -0.2, 0.9), groups=GROUPS if kind == "groups" else TensorGroups())
    ours = by_command(genome, tmp_path)
    found = exported(tmp_path / "model.yaml", tmp_path / "stock.yaml")
    assert found.keys() == ours.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, ours[name], rtol=1e-6, atol=1e-6, msg=name)
    base = load_file(Path(family.base_model) / "model.safetensors")
    assert any(not torch.equal(tensor, base[name]) for name, tensor in found.items())


def test_what_mergekit_cannot_hold_is_told_in_one_line(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tsv = Family(family.base_model, family.experts, task_vectors=TaskVectors("tsv", 1 / 3))
    plain = Genome(family, (1, 0, 0))
    for genome, words in (
        (Genome(family, (1, 0, 0), (Term(0, 5, 0.1), Term(1, 6, 0.1))), "has 2 mutations, which"),
        (mutate_own(plain, 3, 0.1), "has 1 mutation, which mergekit alone cannot merge"),
        (Genome(tsv, (1, 1, 1)), "has task singular vectors, which"),
    ):
        recipe = tmp_path / "model.yaml"
        recipe.write_text(genome.to_yaml())
        assert run_main("export", recipe) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert words in line and f"mergekit-cycleqd merge {recipe} my-model" in line


def test_of_a_run_the_best_model_or_the_best_that_can_is_named(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(tmp_path / "made", family)
    code = run_main("export", run)
    printed = capsys.readouterr()
    if code == 0:
        assert "merge_method: task_arithmetic" in printed.out
    else:
        assert "; the best that it can merge is " in printed.err
        other = printed.err.split("the best that it can merge is ")[1].split(" (")[0]
        assert run_main("export", other) == 0
        assert "merge_method: task_arithmetic" in capsys.readouterr().out


def test_other_files_are_refused(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ties = tmp_path / "ties.yaml"
    models = [
        {"model": model, "parameters": {"weight": 1, "density": 0.5}} for model in family.experts
    ]
    ties.write_text(
        yaml.safe_dump({"merge_method": "ties", "base_model": family.base_model, "models": models})
    )
    assert run_main("export", ties) == 2 and "ties" in capsys.readouterr().err
    assert run_main("export", tmp_path / "nowhere.yaml") == 2
    assert "nowhere.yaml" in capsys.readouterr().err
