"""Adapters of PEFT on modules of several kinds: convolutions, GPT-2's and plain linear layers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from tests.support.families import mixture, save_versions, shake
from tests.support.model_matrix import Ways, genome_of
from tests.support.model_zoo import GPT, ZOO

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore"),  # of transformers and peft, about tiny models
]


def ways_with_adapter(model: Any, folder: Path, **settings: Any) -> Ways:
    """A family of a model whose first expert is an adapter."""
    torch.manual_seed(0)
    ways = Ways(folder, type(model), save_versions(model, folder, ("a", "b")))
    base = ways.family.base_model
    adapted = get_peft_model(ways.load(base), LoraConfig(r=4, **settings))
    shake(adapted, 0.2)
    adapted.save_pretrained(folder / "adapter")
    experts = (f"{base}+{folder / 'adapter'}", ways.family.experts[1])
    return replace(ways, family=replace(ways.family, experts=experts))


def assert_as_peft_merges(ways: Ways) -> None:
    """Compare with PEFT, in memory, and with the merged model for each kind of genome."""
    base = ways.load(ways.family.base_model)
    merged_by_peft = PeftModel.from_pretrained(base, str(ways.folder / "adapter"))
    expected = merged_by_peft.merge_and_unload().state_dict()
    model, resident = ways.in_memory()
    resident.load(Genome(ways.family, (1.0, 0.0)))
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, expected[name], atol=1e-5), name
    singular = replace(ways.family, task_vectors=TaskVectors("tsv", 0.5))
    for number, genome in enumerate(
        (
            genome_of(ways.family),
            genome_of(singular),
            mutate_own(Genome(ways.family, (0.6, 0.3)), 9, 0.2),
        )
    ):
        ways.folder.joinpath(str(number)).mkdir()
        resident.load(genome)
        merged, _ = replace(ways, folder=ways.folder / str(number)).merged(genome)
        for name, tensor in merged.state_dict().items():
            found = model.state_dict()[name]
            assert torch.allclose(found, tensor, rtol=1e-5, atol=3e-6), (number, name)


CONVOLUTIONS: dict[str, dict[str, Any]] = {
    "ResNet": {"target_modules": ["convolution"], "use_rslora": True},
    "Qwen2.5-VL": {"target_modules": ["proj", "q_proj"], "alpha_pattern": {"proj": 3}},
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions_are_low_rank_too(name: str, tmp_path: Path) -> None:
    ways = ways_with_adapter(ZOO[name](), tmp_path, **CONVOLUTIONS[name])
    assert_as_peft_merges(ways)


def test_grouped_convolutions_are_refused(tmp_path: Path) -> None:
    model = ZOO["ConvNeXt"]()
    ways = ways_with_adapter(
        model, tmp_path, rank_pattern={"dwconv": 16}, target_modules=["dwconv"]
    )
    with pytest.raises(ModelError, match=r"convolutions or embeddings, got .*dwconv.weight with"):
        ways.in_memory()


def test_one_adapter_on_both_kinds_of_linear_layers(tmp_path: Path) -> None:
    """PEFT keeps one `fan_in_fan_out`, of the last module. Square layers fit either way."""
    model = GPT2LMHeadModel(GPT2Config(**GPT, tie_word_embeddings=False))
    ways = ways_with_adapter(model, tmp_path, target_modules=["attn.c_proj", "lm_head"])
    assert_as_peft_merges(ways)


def test_a_layer_that_is_stored_with_others_cannot_be_adapted_alone(tmp_path: Path) -> None:
    ways = ways_with_adapter(ZOO["HRM-Text"](), tmp_path, target_modules=["q_proj"])
    with pytest.raises(ModelError, match=r"q_proj.*stores it together with others; merge the adap"):
        ways.in_memory()


@pytest.mark.parametrize("kind", ["no tensors", "rank 0", "one dimension"])
def test_an_adapter_without_numbers_is_refused_with_a_remedy(kind: str, tmp_path: Path) -> None:
    """As training in parts leaves it if the weights are not gathered before they are saved."""
    ways = ways_with_adapter(ZOO["Llama"](), tmp_path, target_modules=["q_proj"])
    file = tmp_path / "adapter" / "adapter_model.safetensors"
    empty = {
        "no tensors": lambda key, _: None,
        "rank 0": lambda key, tensor: tensor[:0] if "lora_A" in key else tensor[:, :0],
        "one dimension": lambda key, tensor: tensor.new_empty(0),
    }[kind]
    found = {key: empty(key, tensor) for key, tensor in load_file(file).items()}
    save_file({key: t.contiguous() for key, t in found.items() if t is not None}, file)
    with pytest.raises(ModelError, match=r"needs weights in .*, got .* without numbers; save the"):
        open_expert(ways.family.experts[0])


def test_all_linear_on_a_mixture_of_experts_is_refused_and_its_remedy_is_taken(
    tmp_path: Path,
) -> None:
    """There peft adapts the experts too, whose weights are in one tensor, not in linear layers."""
    base = mixture(tmp_path).base_model
    config = LoraConfig(target_modules="all-linear", init_lora_weights=False, r=2)
    adapted = get_peft_model(AutoModelForCausalLM.from_pretrained(base), config)
    adapted.save_pretrained(tmp_path / "adapter")
    with pytest.raises(ModelError, match=r"got target_parameters; merge it .*merge_and_unload"):
        _ = open_expert(f"{base}+{tmp_path / 'adapter'}").headers
    merged = tmp_path / "merged"
    adapted.merge_and_unload().save_pretrained(merged)
    assert open_expert(str(merged)).headers.keys() == open_expert(base).headers.keys()
