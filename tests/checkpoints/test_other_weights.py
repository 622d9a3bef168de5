"""Adapters alone and weights in other formats: the refusal names a way out, and the way works."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import PeftModel
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.other_weights import instead_of_safetensors
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from tests.support.families import make_adapter
from tests.support.plans import plan
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

GREEN = "experts[1].model"
TRANSFORMERS = (
    "load the model with transformers, save it again with save_pretrained, and name the new folder"
)
NEEDS = "needs model.safetensors or model.safetensors.index.json in "


class Ground:
    """A family of which one model is another way, and what the commands say of it."""

    def __init__(
        self,
        family: Family,
        folder: Path,
        capsys: pytest.CaptureFixture[str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        self.family, self.folder = family, folder
        self._capsys, self._monkeypatch = capsys, monkeypatch

    def copy(self, name: str = "green") -> Path:
        return Path(shutil.copytree(self.family.experts[1], self.folder / name))

    def with_green(self, model: object) -> Family:
        experts = (self.family.experts[0], str(model), self.family.experts[2])
        return Family(self.family.base_model, experts)

    def of_plan(self, family: Family) -> str:
        recipe = write_run_recipe(self.folder / "recipe.yaml", family)
        found = plan(recipe, self._capsys, self._monkeypatch)
        mark, text = found.only("models")
        assert found.code == (1 if mark == "✗" else 0)
        return text

    def of_run(self, family: Family) -> str:
        recipe = write_run_recipe(self.folder / "recipe.yaml", family)
        return self._said(recipe, recipe, "--out", self.folder / "run")

    def of_merge(self, family: Family) -> str:
        recipe = self.folder / "model.yaml"
        recipe.write_text(Genome.uniform(family).to_yaml())
        return self._said(recipe, "merge", recipe, self.folder / "out", "--quiet")

    def _said(self, recipe: Path, *command: object) -> str:
        assert run_main(*command) == 2
        (line,) = self._capsys.readouterr().err.splitlines()
        return line.removeprefix(f"error: {recipe}: ")


@pytest.fixture
def at(
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> Ground:
    return Ground(family, tmp_path, capsys, monkeypatch)


def test_an_adapter_alone_is_told_how_it_is_written(at: Ground) -> None:
    adapter = make_adapter(at.family.base_model, at.folder / "adapter")
    reference = f"{at.family.base_model}+{adapter}"
    alone = f"{adapter}: is an adapter and no model: as an expert it is written behind its base"
    family = at.with_green(adapter)
    assert at.of_plan(family) == at.of_run(family) == f"{GREEN}: {alone}, {reference}"
    assert at.of_merge(family) == f"models[1].model: {alone}, {reference}"
    as_base = Family(str(adapter), at.family.experts)
    assert at.of_plan(as_base) == at.of_run(as_base) == f"base_model: {alone}, {reference}"
    assert at.of_merge(as_base) == f"base_model: {alone}, {reference}"
    assert at.of_plan(at.with_green(reference)) == "4 of 4 found"


def test_an_adapter_beside_a_config_of_its_base_is_seen_too(at: Ground) -> None:
    adapter = make_adapter(at.family.base_model, at.folder / "adapter")
    shutil.copy(Path(at.family.base_model) / "config.json", adapter)
    assert ": is an adapter and no model: " in at.of_plan(at.with_green(adapter))


def test_an_adapter_that_does_not_name_its_base_is_told_with_a_word(at: Ground) -> None:
    adapter = make_adapter(at.family.base_model, at.folder / "adapter")
    for content in ("{}", "[]", "{", '{"base_model_name_or_path": null}'):
        (adapter / "adapter_config.json").write_text(content)
        assert at.of_plan(at.with_green(adapter)).endswith(f"its base, base+{adapter}")


def test_weights_as_pytorch_saves_them_and_the_remedy(at: Ground) -> None:
    green = at.copy()
    torch.save(load_file(green / "model.safetensors"), green / "pytorch_model.bin")
    (green / "model.safetensors").unlink()
    family = at.with_green(green)
    line = (
        f"{GREEN}: {green}: {NEEDS}{green}, got pytorch_model.bin, weights as PyTorch saves them; "
        f"{TRANSFORMERS}"
    )
    assert at.of_plan(family) == at.of_run(family) == line
    AutoModelForCausalLM.from_pretrained(green).save_pretrained(at.folder / "again")
    again = load_file(at.folder / "again" / "model.safetensors")
    before = load_file(Path(at.family.experts[1]) / "model.safetensors")
    assert all(torch.equal(again[name], before[name]) for name in before)


def test_an_adapter_as_pytorch_saves_it_and_the_remedy(at: Ground) -> None:
    base = at.family.base_model
    adapter = make_adapter(base, at.folder / "adapter")
    before = load_file(adapter / "adapter_model.safetensors")
    torch.save(before, adapter / "adapter_model.bin")
    (adapter / "adapter_model.safetensors").unlink()
    family = at.with_green(f"{base}+{adapter}")
    line = (
        f"{GREEN}: {base}+{adapter}: needs adapter_model.safetensors in {adapter}, got "
        "adapter_model.bin, an adapter as PyTorch saves it; load it with PEFT, save it again with "
        "save_pretrained, and name the new folder"
    )
    assert at.of_plan(family) == at.of_run(family) == line
    loaded: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    loaded.save_pretrained(at.folder / "again")
    again = load_file(at.folder / "again" / "adapter_model.safetensors")
    assert all(torch.equal(again[name], before[name]) for name in before)


def rename(*names: str) -> Callable[[Path], None]:
    def change(model: Path) -> None:
        (model / "model.safetensors").rename(model / names[0])
        for name in names[1:]:
            (model / name).touch()

    return change


GGUF = (
    "a file of llama.cpp; name the model that it was made from, or load it with transformers "
    "(gguf_file), save it again with save_pretrained, and name the new folder"
)


@pytest.mark.parametrize(
    ("change", "got"),
    [
        (
            rename("pytorch_model-00001-of-00002.bin", "pytorch_model.bin.index.json"),
            f"pytorch_model-00001-of-00002.bin, weights as PyTorch saves them; {TRANSFORMERS}",
        ),
        (
            rename("consolidated.00.pth"),
            f"consolidated.00.pth, weights as PyTorch saves them; {TRANSFORMERS}",
        ),
        (rename("green-Q4_K_M.gguf"), f"green-Q4_K_M.gguf, {GGUF}"),
        (
            rename("tf_model.h5"),
            "tf_model.h5, weights of another framework; name a repo or a revision that has "
            "safetensors",
        ),
        (
            rename("model-00001-of-00002.safetensors"),
            "model-00001-of-00002.safetensors, shards without their index; add "
            "model.safetensors.index.json, which says what is in which shard",
        ),
        (
            rename("model.fp16.safetensors"),
            f"model.fp16.safetensors, safetensors of another name; {TRANSFORMERS}",
        ),
    ],
)
def test_what_is_there_instead_is_named(
    change: Callable[[Path], None], got: str, at: Ground
) -> None:
    green = at.copy()
    change(green)
    assert at.of_plan(at.with_green(green)) == f"{GREEN}: {green}: {NEEDS}{green}, got {got}"


@pytest.mark.parametrize("others", [[], ["training_args.bin", "optimizer.pt", "sub/model.gguf"]])
def test_files_without_weights_are_no_weights(others: list[str]) -> None:
    assert instead_of_safetensors(others) == ""


def test_a_file_in_the_place_of_its_folder(at: Ground) -> None:
    green = at.copy()
    (at.folder / "green.gguf").touch()
    file = green / "model.safetensors"
    line = f"{file}: needs a model folder, got a file of one; name {green}"
    family = at.with_green(file)
    assert at.of_plan(family) == at.of_run(family) == f"{GREEN}: {line}"
    assert at.of_merge(family) == line
    line = f"needs a model folder with safetensors, got green.gguf, {GGUF}"
    family = at.with_green("green.gguf")  # beside the recipe
    assert at.of_plan(family) == f"{GREEN}: {at.folder / 'green.gguf'}: {line}"


def test_a_pointer_of_git_lfs_is_told_as_one(tmp_path: Path) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    (tmp_path / "model.safetensors").write_text(pointer)
    with pytest.raises(ModelError) as caught:
        _ = Checkpoint("org/model", tmp_path).headers
    assert str(caught.value) == (
        "org/model: model.safetensors is a pointer of Git LFS without the weights; run git lfs pull"
    )
