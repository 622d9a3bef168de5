"""Experts that are adapters: the same models as by the dense route, at the cost of their rank."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml
from peft import PeftModel
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, GPT2Config, GPT2LMHeadModel

from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert, open_expert
from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import model_tensor
from mergekit_cycleqd.merging.directions import directions
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.recipe.load import load_recipe
from tests.support.families import (
    LORA_KINDS,
    PLAIN_LORA,
    adapted_family,
    make_adapter,
    make_family,
)
from tests.support.merges import bred, by_command, in_place
from tests.support.recipes import RecipeMaker

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")


LIMITS: list[dict[str, Any]] = [{}, {"rank": 2}, {"rank": 20}, {"energy": 0.6}, {"energy": 1.0}]


@pytest.mark.parametrize("kind", LORA_KINDS)
def test_adapters_in_place_equal_the_dense_route(kind: str, family: Family, tmp_path: Path) -> None:
    genome = bred(adapted_family(family, tmp_path, **LORA_KINDS[kind]))
    dense = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, dense[name], atol=3e-6), name


@pytest.mark.parametrize("limit", LIMITS, ids=str)
def test_rank_and_energy_mean_the_same_by_both_routes(
    limit: dict[str, Any], family: Family, tmp_path: Path
) -> None:
    genome = bred(replace(adapted_family(family, tmp_path), **limit))
    dense = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, dense[name], atol=3e-6), name


@pytest.mark.costly
def test_a_short_dtype_does_not_drown_an_adapter(tmp_path: Path) -> None:
    family = make_family(tmp_path, dtype=torch.bfloat16)
    genome = bred(adapted_family(family, tmp_path))
    dense = by_command(genome, tmp_path)
    mutated = sum(abs(scale) for _, _, scale in genome.terms)
    for name, tensor in in_place(genome, tmp_path).items():
        assert tensor.dtype == dense[name].dtype == torch.bfloat16
        step = 2.0**-7 * dense[name].float().abs()  # at most one step of bf16,
        step += 2.0**-8 * mutated * 0.25  # and of what is mutated, of a large change
        assert ((tensor.float() - dense[name].float()).abs() <= step).all(), name


@pytest.mark.parametrize("kind", LORA_KINDS)
def test_its_tensors_are_those_that_peft_merges(kind: str, family: Family, tmp_path: Path) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter", **LORA_KINDS[kind])
    base = AutoModelForCausalLM.from_pretrained(family.base_model)
    merged = PeftModel.from_pretrained(base, adapter).merge_and_unload().state_dict()
    expert = open_expert(f"{family.base_model}+{adapter}")
    for name in expert.headers:
        assert torch.allclose(expert.tensor(name), merged[name], atol=1e-6), name


@pytest.mark.parametrize("targets", [["c_attn"], ["c_attn", "wpe"]], ids=str)
def test_layers_that_store_their_weight_the_other_way_round(
    targets: list[str], tmp_path: Path
) -> None:
    """Those of GPT-2 do, but not its table of positions."""
    torch.manual_seed(0)
    config = GPT2Config(vocab_size=50, n_embd=16, n_layer=1, n_head=2, n_positions=8)
    GPT2LMHeadModel(config).save_pretrained(tmp_path / "base")
    base = str(tmp_path / "base")
    adapter = make_adapter(base, tmp_path / "a", target_modules=targets, fan_in_fan_out=True)
    model = AutoModelForCausalLM.from_pretrained(base)
    merged = PeftModel.from_pretrained(model, adapter).merge_and_unload().state_dict()
    expert = open_expert(f"{base}+{adapter}")
    for name in expert.headers:
        assert torch.allclose(expert.tensor(name), merged[name], atol=1e-6), name


@pytest.mark.parametrize("rank", [1, 4, 9])
@pytest.mark.parametrize("shape", [(60, 40), (40, 60)])
def test_directions_come_from_the_thin_factors_and_are_as_many_as_the_rank(
    rank: int, shape: tuple[int, int]
) -> None:
    draw = torch.Generator().manual_seed(rank)
    up = torch.randn(shape[0], rank, generator=draw)
    thin = LowRank(up, torch.randn(rank, shape[1], generator=draw), scaling=-1.5)
    basis = thin.singular_directions()
    assert basis.vectors.shape == (min(shape), rank)
    assert basis.values.shape == (rank,)
    full = directions(thin.product(torch.float64))
    assert basis.values.numpy() == pytest.approx(full.values[:rank].numpy(), rel=1e-6)
    overlap = (basis.vectors * full.vectors[:, :rank]).sum(0).abs()
    assert overlap.numpy() == pytest.approx(np.ones(rank), abs=1e-5)


def test_an_adapter_is_held_in_its_thin_factors_and_never_decomposed_densely(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thin = adapted_family(family, tmp_path)
    only = replace(thin, experts=(thin.experts[0], thin.experts[2]))
    monkeypatch.setattr(torch.linalg, "eigh", None)
    shapes = []
    full_svd = torch.linalg.svd

    def svd(core: torch.Tensor, **options: Any) -> Any:
        shapes.append(tuple(core.shape))
        return full_svd(core, **options)

    monkeypatch.setattr(torch.linalg, "svd", svd)
    in_place(mutate(Genome.uniform(only), Term(1, 3, 0.3)), tmp_path)
    assert set(shapes) == {(4, 4)} and len(shapes) == 2 * len(PLAIN_LORA["target_modules"])
    assert not (tmp_path / "factors").exists()
    change = LoRAExpert.open(only.experts[0]).expert_tensor("model.layers.0.mlp.up_proj.weight")
    assert isinstance(change, LowRank)
    assert change.up.shape == (48, 4) and change.down.shape == (4, 32)


def test_what_an_adapter_leaves_alone_costs_nothing(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    thin = adapted_family(family, tmp_path)
    merged: dict[str, int] = {}

    def count(out: torch.Tensor, name: str, base: torch.Tensor, shares: Any, *_: Any) -> None:
        merged[name] = len(shares)

    monkeypatch.setattr(model_tensor, "merge_into", count)
    in_place(Genome.uniform(thin), tmp_path)
    assert merged["model.layers.0.self_attn.q_proj.weight"] == 3
    assert merged["model.layers.0.self_attn.v_proj.weight"] == 1
    assert merged["model.embed_tokens.weight"] == 1


def edit(adapter: Path, **settings: Any) -> None:
    file = adapter / "adapter_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | settings))


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "DoRA": ({"use_dora": True}, "got DoRA"),
    "another kind of adapter": ({"peft_type": "IA3"}, "got peft_type IA3"),
    "biases": ({"bias": "lora_only"}, "got bias: lora_only"),
    "biases of factors": ({"lora_bias": True}, "got biases of LoRA factors"),
    "a base that is changed": ({"init_lora_weights": "pissa"}, "got init_lora_weights: pissa"),
    "parameters": ({"target_parameters": ["x"]}, "got target_parameters"),
    "no alpha": ({"lora_alpha": None}, "must hold lora_alpha, a number"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_cannot_be_held_is_refused_at_once(what: str, family: Family, tmp_path: Path) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter")
    settings, message = REFUSED[what]
    edit(adapter, **settings)
    with pytest.raises(ModelError, match=message):
        open_expert(f"{family.base_model}+{adapter}")


@pytest.mark.parametrize(
    ("key", "shape", "message"),
    [
        ("model.embed_tokens.lora_embedding_A", (4, 63), "needs lora_A and lora_B for model.embed"),
        ("model.embed_tokens.token_adapter.trainable_tokens_delta", (2, 32), "got base_model"),
        ("model.layers.0.mlp.up_proj.base_layer.weight", (9, 9), r"of \[9, 9\] with factors of"),
        ("model.layers.0.mlp.up_proj.lora_magnitude_vector", (48,), "magnitude_vector"),
        ("model.norm.weight", (33,), r"must have the shape of the base's, \[32\], got \[33\]"),
        ("model.layers.0.mlp.gate_proj.lora_A.weight", (4, 32), "needs lora_A and lora_B"),
    ],
)
def test_tensors_that_cannot_be_held_are_refused_at_once(
    key: str, shape: tuple[int, ...], message: str, family: Family, tmp_path: Path
) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter")
    file = adapter / "adapter_model.safetensors"
    save_file(load_file(file) | {f"base_model.model.{key}": torch.zeros(shape)}, file)
    with pytest.raises(ModelError, match=message):
        open_expert(f"{family.base_model}+{adapter}")


def test_an_adapter_of_tensors_that_the_model_lacks_is_refused(
    family: Family, tmp_path: Path
) -> None:
    thin = adapted_family(family, tmp_path)
    file = tmp_path / "adapter1" / "adapter_model.safetensors"
    tensors = {key.replace("layers.1.", "layers.7."): t for key, t in load_file(file).items()}
    save_file(tensors, file)
    with pytest.raises(ModelError, match=r"layers\.7\..* needs a tensor of that name"):
        in_place(Genome.uniform(thin), tmp_path)


def test_an_adapter_with_nan_is_refused_by_name(family: Family, tmp_path: Path) -> None:
    thin = adapted_family(family, tmp_path)
    file = tmp_path / "adapter2" / "adapter_model.safetensors"
    save_file({key: torch.full_like(t, torch.nan) for key, t in load_file(file).items()}, file)
    with pytest.raises(ModelError, match=r"adapter2: tensor .*_proj\.weight has NaN"):
        in_place(Genome.uniform(thin), tmp_path)


def test_another_adapter_is_another_fingerprint(family: Family, tmp_path: Path) -> None:
    prints = {
        open_expert(model).fingerprint() for model in adapted_family(family, tmp_path).experts
    }
    edit(tmp_path / "adapter1", lora_alpha=9)
    prints.add(open_expert(f"{family.base_model}+{tmp_path / 'adapter1'}").fingerprint())
    assert len(prints) == 4


def test_folders_on_both_sides_of_the_plus_are_found_beside_the_recipe(
    make_named_recipe: RecipeMaker, tmp_path: Path
) -> None:
    (tmp_path / "near").mkdir()
    (tmp_path / "adapter").mkdir()

    def change(content: dict[str, Any]) -> None:
        content["experts"][1]["model"] = "near+adapter"
        content["experts"][2]["model"] = "org/base+org/adapter"

    recipe = load_recipe(make_named_recipe(change))
    here = tmp_path.resolve()
    assert recipe.experts[1].model == f"{here / 'near'}+{here / 'adapter'}"
    assert recipe.experts[2].model == "org/base+org/adapter"


def change_expert(reference: str) -> Any:
    def change(content: dict[str, Any]) -> None:
        content["experts"][1]["model"] = reference

    return change


@pytest.mark.parametrize("what", ["no adapter", "not there", "another base"])
def test_a_fault_of_either_part_has_the_key_of_the_expert(
    what: str,
    family: Family,
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter")
    reference, message = {
        "no adapter": (f"{family.base_model}+{family.base_model}", "has no adapter_config.json"),
        "not there": (f"{family.base_model}+/none", "needs a model folder or a Hub id org/name"),
        "another base": (f"{family.experts[0]}+{adapter}", "must name the base_model"),
    }[what]
    recipe = make_recipe(change_expert(reference))
    with pytest.raises(SystemExit) as exit:
        main([str(recipe), "--out", str(tmp_path / "run")])
    assert exit.value.code == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert line.startswith(f"error: {recipe}: experts[1].model: ") and message in line


def test_a_run_breeds_adapters_with_whole_experts(
    family: Family, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter")
    recipe = make_recipe(change_expert(f"{family.base_model}+{adapter}"))
    with pytest.raises(SystemExit) as exit:
        main([str(recipe), "--out", str(tmp_path / "run")])
    assert not exit.value.code
    aggregate = yaml.safe_load((tmp_path / "run" / "aggregate.yaml").read_text())
    assert aggregate["models"][1]["model"].endswith(f"base+{adapter.resolve()}")
