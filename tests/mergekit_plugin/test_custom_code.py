"""Models whose class comes with them, as `trust_remote_code` loads them."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import transformers
import yaml
from mergekit.options import MergeOptions

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe
from tests.support.hub import server
from tests.support.hub.server import Hub

hub = server.hub
CONFIGURATION = """
from transformers import LlamaConfig

class OddConfig(LlamaConfig):
    model_type = "odd"
"""
MODEL = """
from transformers import LlamaForCausalLM
from .configuration_odd import OddConfig

class OddForCausalLM(LlamaForCausalLM):
    config_class = OddConfig
"""


def with_code(model: str, folder: Path) -> str:
    """Copy a Llama as a model of a class of its own."""
    shutil.copytree(model, folder)
    config = json.loads((folder / "config.json").read_text())
    config |= {"model_type": "odd", "architectures": ["OddForCausalLM"]}
    config["auto_map"] = {
        "AutoConfig": "configuration_odd.OddConfig",
        "AutoModelForCausalLM": "modeling_odd.OddForCausalLM",
    }
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "configuration_odd.py").write_text(CONFIGURATION)
    (folder / "modeling_odd.py").write_text(MODEL)
    return str(folder)


@pytest.fixture
def odd(family: Family, tmp_path: Path) -> Family:
    models = (family.base_model, *family.experts)
    base, *experts = (with_code(model, tmp_path / f"odd{i}") for i, model in enumerate(models))
    return Family(base, tuple(experts))


@pytest.mark.costly
def test_a_merged_model_brings_its_class(odd: Family, family: Family, tmp_path: Path) -> None:
    recipes = []
    for name, models in (("odd", odd), ("plain", family)):
        recipes.append(tmp_path / f"{name}.yaml")
        recipes[-1].write_text(yaml.safe_dump(Genome.uniform(models).to_recipe()))
    with pytest.raises(RecipeError, match="custom code"):
        merge_recipe(recipes[0], tmp_path / "refused", MergeOptions(quiet=True))
    options = MergeOptions(quiet=True, trust_remote_code=True)
    for recipe in recipes:
        merge_recipe(recipe, tmp_path / f"merged {recipe.stem}", options)
    loaded, plain = (
        transformers.AutoModelForCausalLM.from_pretrained(
            tmp_path / f"merged {recipe.stem}", trust_remote_code=recipe.stem == "odd"
        )
        for recipe in recipes
    )
    assert type(loaded).__name__ == "OddForCausalLM"
    tensors = plain.state_dict()
    assert loaded.state_dict().keys() == tensors.keys()
    assert all(torch.equal(tensor, tensors[name]) for name, tensor in loaded.state_dict().items())


@pytest.mark.costly
def test_code_of_a_model_of_the_hub_is_downloaded_with_it(odd: Family, hub: Hub) -> None:
    hub.api().create_repo("lab/odd")
    hub.api().upload_folder(repo_id="lab/odd", folder_path=odd.base_model)
    folder = Checkpoint.open("lab/odd").folder
    config = transformers.AutoConfig.from_pretrained(folder, trust_remote_code=True)
    assert config.model_type == "odd"
