"""Models rebuilt from their published recipes, over HTTP from a real local Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import CommitOperationAdd
from mergekit.options import MergeOptions
from safetensors.torch import load

from mergekit_cycleqd.checkpoints.sketch import TensorSketch
from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.hub.rebuild import PublishedRecipe, parse_reference, rebuild
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe
from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import push

hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run


def merged(reference: str, out: Path) -> tuple[bytes, list[str]]:
    recipe = parse_reference(reference)
    assert recipe is not None
    said: list[str] = []
    rebuild(recipe, out, MergeOptions(quiet=True), said.append)
    return (out / "model.safetensors").read_bytes(), said


def test_a_pinned_recipe_in_a_file_takes_the_weights_of_its_revision(
    run: Path, hub: Hub, family: Family, tmp_path: Path
) -> None:
    pinned = hub.api().repo_info("lab/red").sha
    was = hub.content("lab/red")["model.safetensors"]
    other = (Path(family.experts[2]) / "model.safetensors").read_bytes()
    hub.api().create_commit(
        "lab/red", [CommitOperationAdd("model.safetensors", other)], commit_message="another"
    )
    recipe = tmp_path / "model.yaml"
    model = {"model": f"lab/red@{pinned}", "parameters": {"weight": 1.0}}
    content = {"merge_method": "cycleqd", "base_model": family.base_model, "models": [model]}
    recipe.write_text(yaml.safe_dump(content))
    merge_recipe(recipe, tmp_path / "out", MergeOptions(quiet=True))
    merged = load((tmp_path / "out" / "model.safetensors").read_bytes())
    assert all(torch.equal(tensor, merged[name]) for name, tensor in load(was).items())


def test_a_pushed_model_is_rebuilt_byte_for_byte_even_after_its_experts_changed(
    run: Path, hub: Hub, family: Family, tmp_path: Path
) -> None:
    assert push(run, "--what", "aggregate,best,recipes") == 0
    other = (Path(family.experts[2]) / "model.safetensors").read_bytes()
    for expert in ("lab/red", "lab/green"):
        hub.api().create_commit(
            expert, [CommitOperationAdd("model.safetensors", other)], commit_message="another"
        )
    for number, reference in enumerate(
        ("hf://me/tiny-aggregate", "me/tiny-aggregate", "hf://me/tiny-recipes@main")
    ):
        weights, said = merged(reference, tmp_path / f"{number}")
        assert weights == hub.content("me/tiny-aggregate")["model.safetensors"], reference
        assert (tmp_path / f"{number}" / "mergekit_config.yml").read_bytes() == hub.content(
            "me/tiny-aggregate"
        )["mergekit_config.yml"]
        if number < 2:
            assert said == [
                f"{tmp_path / str(number)}: the weights are the published ones, byte for byte"
            ]
    (best,) = [
        path
        for path in hub.content("me/tiny-recipes")
        if path.startswith("elites/red/")
        and hub.content("me/tiny-recipes")[path]
        == hub.content("me/tiny-best")["mergekit_config.yml"]
    ]
    weights, _ = merged(f"hf://me/tiny-recipes/{best}", tmp_path / "elite")
    assert weights == hub.content("me/tiny-best")["model.safetensors"]


Lineage = dict[str, Any]


def as_it_is(lineage: Lineage) -> None:
    """Nothing but the hash is spoilt."""


def moved(lineage: Lineage) -> None:
    """Let every projection be that of a tensor which is a hundredth of its change away."""
    for tensors in sketches(lineage):
        for name, text in tensors.items():
            sketch = TensorSketch.read(text)
            assert sketch.change is not None
            away = tuple(number + 0.01 * sketch.change for number in sketch.projections)
            tensors[name] = str(TensorSketch(sketch.change, away))
    embedding = next(name for name in tensors if "embed" in name)
    sketch = TensorSketch.read(tensors[embedding])
    assert sketch.change is not None
    tensors[embedding] = str(TensorSketch(sketch.change / 4, sketch.projections))


def of_another_model(lineage: Lineage) -> None:
    for tensors in sketches(lineage):
        tensors["extra"] = tensors.popitem()[1]


def of_an_earlier_version(lineage: Lineage) -> None:
    for file in lineage["files"].values():
        file.pop("tensors", None)


def broken(lineage: Lineage) -> None:
    for tensors in sketches(lineage):
        tensors.update(dict.fromkeys(tensors, "1.0 2.0"))


def sketches(lineage: Lineage) -> list[dict[str, str]]:
    return [file["tensors"] for file in lineage["files"].values() if "tensors" in file]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (as_it_is, r"are the published ones to 13 digits, in files of other bytes"),
        (moved, r"by about 1e-02 of their change from the base, most in .*embed.* \(4e-02\)"),
        (of_another_model, r"the model and the published one do not both have extra, model\."),
        (of_an_earlier_version, "the weights differ in some bytes from the published ones"),
        (broken, "the weights differ in some bytes from the published ones"),
    ],
)
def test_other_weights_than_the_published_ones_are_told(
    change: Callable[[Lineage], None], said: str, run: Path, hub: Hub, tmp_path: Path
) -> None:
    assert push(run, "--what", "aggregate") == 0
    lineage = json.loads(hub.content("me/tiny-aggregate")["lineage.json"])
    lineage["files"]["model.safetensors"]["sha256"] = "0"
    change(lineage)
    hub.api().create_commit(
        "me/tiny-aggregate",
        [CommitOperationAdd("lineage.json", json.dumps(lineage).encode())],
        commit_message="x",
    )
    _, (line,) = merged("hf://me/tiny-aggregate", tmp_path / "out")
    assert re.search(said, line), line


def test_weights_in_other_files_are_not_said_to_be_compared(
    run: Path, hub: Hub, tmp_path: Path
) -> None:
    assert push(run, "--what", "aggregate") == 0
    said: list[str] = []
    options = MergeOptions(quiet=True, safe_serialization=False)
    recipe = PublishedRecipe("me/tiny-aggregate", None, "mergekit_config.yml")
    rebuild(recipe, tmp_path / "out", options, said.append)
    assert said[-1].endswith("not in safetensors files, as the published ones are; not compared")


@pytest.mark.parametrize(
    ("reference", "meaning"),
    [
        ("hf://me/name", PublishedRecipe("me/name", None, "mergekit_config.yml")),
        ("hf://models/me/name", PublishedRecipe("me/name", None, "mergekit_config.yml")),
        ("me/na.me", PublishedRecipe("me/na.me", None, "mergekit_config.yml")),
        ("hf://me/name@v1", PublishedRecipe("me/name", "v1", "mergekit_config.yml")),
        ("hf://me/name@v1/elites/a/1.yaml", PublishedRecipe("me/name", "v1", "elites/a/1.yaml")),
        ("hf://me/name/elites/a/1.yaml", PublishedRecipe("me/name", None, "elites/a/1.yaml")),
        ("runs/model.yaml", None),
        ("runs/my/model.yaml", None),
        ("model.yaml", None),
        ("/some/model", None),
    ],
)
def test_what_a_reference_means(reference: str, meaning: PublishedRecipe | None) -> None:
    assert parse_reference(reference) == meaning


def test_what_cannot_be_rebuilt_is_one_line(hub: Hub, tmp_path: Path, local_run: Path) -> None:
    with pytest.raises(CycleQDError, match="me/none: needs a repo with a recipe, got no such repo"):
        merged("hf://me/none", tmp_path / "out")
    assert push(local_run, "--what", "aggregate") == 0
    with pytest.raises(CycleQDError, match=r"\./base") as error:
        merged("hf://me/tiny-aggregate", tmp_path / "out")
    assert len(str(error.value).splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_lineage_of_a_stranger_names_no_file_outside_of_the_model_and_breaks_nothing(
    run: Path, hub: Hub, tmp_path: Path
) -> None:
    assert push(run, "--what", "aggregate") == 0
    told = json.loads(hub.content("me/tiny-aggregate")["lineage.json"])
    (tmp_path / "mine.safetensors").write_bytes(b"mine")
    hashed = {"sha256": "0" * 64, "tensors": {}}
    for number, content in enumerate(
        (
            json.dumps(told | {"files": {"../mine.safetensors": hashed}}).encode(),
            json.dumps(
                told | {"files": {str(tmp_path / "mine.safetensors"): hashed, "x": 3}}
            ).encode(),
            json.dumps(told | {"files": [1], "version": told["version"]}).encode(),
            b"[" * 200_000,
        )
    ):
        hub.commit("me/tiny-aggregate", {"lineage.json": content})
        out = tmp_path / f"out-{number}"
        _, said = merged("hf://me/tiny-aggregate", out)
        assert said == [f"{out}: merged"], "there is nothing to compare with"
    hub.commit("me/tiny-aggregate", {"mergekit_config.yml": b"\xff\xfe"})
    with pytest.raises(CycleQDError, match=r"mergekit_config\.yml: is no text in UTF-8"):
        merged("hf://me/tiny-aggregate", tmp_path / "none")
