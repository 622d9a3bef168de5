"""The command `verify`: what is compared, and what it says when models are not the same."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.tensor_difference import TensorDifference
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from tests.support import published_runs
from tests.support.families import adapted_family, save_versions
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.model_zoo import ZOO
from tests.support.published_runs import push
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # peft's, about transformers
]
hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run


def mutated(family: Family) -> Genome:
    weights = tuple(0.3 for _ in family.experts)
    return Genome(family, weights, (Term(0, 5, 0.3), Term(1, 7, 0.2)))


def write(genome: Genome, folder: Path) -> Path:
    (folder / "model.yaml").write_text(genome.to_yaml())
    return folder / "model.yaml"


def rows(out: str) -> list[list[str]]:
    found = re.findall(r"^│ ([✓✗]) │ (.*?) +│ (.*?) +│ (.*?) +│$", out, re.MULTILINE)
    return [list(row) for row in found]


def test_a_recipe_is_merged_and_compared(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write(mutated(adapted_family(family, tmp_path)), tmp_path)
    assert run_main("verify", recipe) == 0
    out = capsys.readouterr().out
    first, second = rows(out)
    assert first[:3] == ["✓", "its files", "20 tensors"]
    assert second[:3] == ["✓", "the merged folder", "20 tensors"]
    assert "the same model" in out


def test_a_model_that_mergekit_does_not_merge_is_compared_too(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family = save_versions(ZOO["ViT"](), tmp_path, ("a", "b"))
    assert run_main("verify", write(mutated(family), tmp_path)) == 0
    out = capsys.readouterr().out
    assert "mergekit does not merge 32 of 40 tensors of ViTForImageClassification" in out
    assert [row[0] for row in rows(out)] == ["✓", "✓"]


def test_another_weight_in_a_merged_folder_is_found(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe, out = write(mutated(family), tmp_path), tmp_path / "out"
    assert run_main("merge", recipe, out, "--quiet") == 0
    assert run_main("verify", out) == 0
    capsys.readouterr()
    tensors = load_file(out / "model.safetensors")
    tensors["model.layers.1.mlp.up_proj.weight"][3, 4] += 0.5
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    assert run_main("verify", out) == 1
    told = capsys.readouterr().out
    assert [row[0] for row in rows(told)] == ["✓", "✗"]
    assert "model.layers.1.mlp.up_proj.weight" in rows(told)[1][3] and "not the same" in told


def test_a_run_is_verified_by_weights_and_scores(
    local_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_main("verify", local_run) == 0
    out = capsys.readouterr().out
    assert "candidate" in out
    assert [row[:3] for row in rows(out)] == [
        ["✓", "its files", "20 tensors"],
        ["✓", "the merged folder", "20 tensors"],
        ["✓", "the merged folder", "3 scores of up to 8 samples"],
    ]


def test_a_published_model_is_rebuilt_and_compared(
    run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, "--what", "aggregate") == 0
    capsys.readouterr()
    assert run_main("verify", "me/tiny-aggregate") == 0
    out = capsys.readouterr().out
    assert "byte for byte" in out and "the same model" in out


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("nothing/of/it", "must be a run folder, a model recipe, a merged folder with its recipe"),
        ("base", "needs the recipe of the merge beside the model, as mergekit_config.yml"),
    ],
)
def test_what_cannot_be_verified_is_one_line(
    reference: str,
    message: str,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = family.base_model if reference == "base" else tmp_path / reference
    assert run_main("verify", where) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: {where}: ") and message in line


def test_a_run_stops_before_it_scores_another_model_than_its_recipe_describes(
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    load = ResidentModel.load

    def load_another(self: ResidentModel, genome: Genome) -> None:
        terms = tuple(term._replace(seed=term.seed + 1) for term in genome.terms)
        load(self, replace(genome, terms=terms))

    monkeypatch.setattr(ResidentModel, "load", load_another)
    assert run_main(make_recipe(), "--out", tmp_path / "run") == 2
    err = capsys.readouterr().err
    assert "the model in memory is not the one that its recipe describes; tensor model." in err


def test_a_difference_counts_against_the_change_and_rounding() -> None:
    start, expected = torch.zeros(4) + 1.0, torch.zeros(4) + 1.1
    assert TensorDifference.of("t", expected.clone(), expected, start).agrees
    apart = TensorDifference.of("t", expected + 0.01, expected, start)
    assert not apart.agrees and apart.of_change == pytest.approx(0.1, rel=1e-4)
    unchanged = TensorDifference.of("t", start + 1e-7, start, start)
    assert unchanged.agrees
    broken = TensorDifference.of("t", torch.full((4,), float("nan")), expected, start)
    assert not broken.agrees
