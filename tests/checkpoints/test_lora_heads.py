"""LoRA on heads and embeddings, which PEFT stores with a copy of the base's tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.layout.tensor_readers import tensor_reader
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.merging.low_rank import LowRank
from tests.support.costly import costly
from tests.support.families import (
    adapted_family,
    make_adapter,
    make_adapter_with_embeddings,
    make_family,
    shake,
)
from tests.support.merges import bred, by_command, in_place
from tests.support.plans import plan
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

# peft still uses names that transformers has replaced, and says that it stores embeddings
pytestmark = [
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore:Setting `save_embedding_layers`"),
]

HEAD, TABLE = "lm_head.weight", "model.embed_tokens.weight"
KINDS: dict[str, dict[str, Any]] = {
    "head": {"target_modules": ["q_proj", "lm_head"]},
    "embedding": {"target_modules": ["q_proj", "embed_tokens"]},
    "both, rank-stabilized": {
        "target_modules": ["lm_head", "embed_tokens"],
        "use_rslora": True,
        "alpha_pattern": {"lm_head": 3},
        "rank_pattern": {"embed_tokens": 2},
    },
    "head beside a whole norm": {"target_modules": ["lm_head"], "modules_to_save": ["norm"]},
}


@pytest.fixture(scope="module")
@costly
def untied(tmp_path_factory: pytest.TempPathFactory) -> Family:
    return make_family(tmp_path_factory.mktemp("untied"), tied=False)


def merged_by_peft(base: str, adapter: Path) -> dict[str, torch.Tensor]:
    model: Any = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(base), adapter)
    state: dict[str, torch.Tensor] = model.merge_and_unload().state_dict()
    return state


def edit(adapter: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    file = adapter / "adapter_model.safetensors"
    tensors = load_file(file)
    change(tensors)
    save_file(tensors, file)


@pytest.mark.parametrize("kind", KINDS)
def test_its_tensors_are_those_that_peft_merges(kind: str, untied: Family, tmp_path: Path) -> None:
    adapter = make_adapter(untied.base_model, tmp_path / "adapter", **KINDS[kind])
    merged = merged_by_peft(untied.base_model, adapter)
    expert = open_expert(f"{untied.base_model}+{adapter}")
    for name in expert.headers:
        assert torch.allclose(expert.tensor(name), merged[name], atol=1e-6), name


@pytest.mark.parametrize("kind", KINDS)
def test_adapters_in_place_equal_the_dense_route(kind: str, untied: Family, tmp_path: Path) -> None:
    genome = bred(adapted_family(untied, tmp_path, **KINDS[kind]))
    dense = by_command(genome, tmp_path)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, dense[name], atol=3e-6), name


def test_a_copy_of_the_bases_tensor_is_no_change_and_costs_nothing(
    untied: Family, tmp_path: Path
) -> None:
    adapter = make_adapter(
        untied.base_model, tmp_path / "adapter", **KINDS["both, rank-stabilized"]
    )
    expert: Any = open_expert(f"{untied.base_model}+{adapter}")
    head, table = expert.expert_tensor(HEAD), expert.expert_tensor(TABLE)
    assert isinstance(head, LowRank) and isinstance(table, LowRank)
    assert (head.up.shape, head.down.shape) == ((63, 4), (4, 32))
    assert (table.up.shape, table.down.shape) == ((63, 2), (2, 32))


@pytest.mark.costly
@pytest.mark.parametrize(
    ("of_base", "of_adapter"),
    [
        (torch.bfloat16, torch.float32),
        (torch.float32, torch.bfloat16),
        (torch.bfloat16, torch.float16),
    ],
    ids=str,
)
def test_a_copy_of_another_dtype_is_one_too(
    of_base: torch.dtype, of_adapter: torch.dtype, tmp_path: Path
) -> None:
    base = make_family(tmp_path, tied=False, dtype=of_base).base_model
    adapter = make_adapter(base, tmp_path / "adapter", target_modules=["lm_head"])
    copy = load_file(Path(base) / "model.safetensors")[HEAD].to(of_adapter)
    edit(adapter, lambda stored: stored.update({f"base_model.model.{BASE_OF_HEAD}": copy}))
    expert: Any = open_expert(f"{base}+{adapter}")
    assert isinstance(expert.expert_tensor(HEAD), LowRank)


BASE_OF_HEAD = "lm_head.base_layer.weight"


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
def test_a_tensor_that_was_trained_beside_the_factors_is_taken_with_them(
    module: str, untied: Family, tmp_path: Path
) -> None:
    """As peft does it, which loads the stored tensor into the model."""

    def train(stored: dict[str, torch.Tensor]) -> None:
        (key,) = (key for key in stored if key.endswith(f"{module}.base_layer.weight"))
        stored[key][5] += 0.5

    adapter = make_adapter(untied.base_model, tmp_path / "adapter", target_modules=[module])
    edit(adapter, train)
    merged = merged_by_peft(untied.base_model, adapter)
    expert = open_expert(f"{untied.base_model}+{adapter}")
    base = load_file(Path(untied.base_model) / "model.safetensors")
    name = HEAD if module == "lm_head" else TABLE
    assert (merged[name] - base[name]).abs().max() > 0.4
    assert torch.allclose(expert.tensor(name), merged[name], atol=1e-6)
    experts = (f"{untied.base_model}+{adapter}", *untied.experts[1:])
    genome = bred(replace(untied, experts=experts))
    dense = by_command(genome, tmp_path)
    assert torch.allclose(in_place(genome, tmp_path)[name], dense[name], atol=3e-6)


@pytest.mark.parametrize("target", ["q_proj", "lm_head"])
def test_a_resized_vocabulary_is_refused_in_one_line(
    target: str, untied: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = AutoModelForCausalLM.from_pretrained(untied.base_model)
    model.resize_token_embeddings(70, mean_resizing=False)
    config = LoraConfig(task_type="CAUSAL_LM", r=4, target_modules=[target])
    adapted = get_peft_model(model, config)
    shake(adapted, 0.2)
    adapted.save_pretrained(tmp_path / "adapter")
    recipe = write_run_recipe(
        tmp_path / "recipe.yaml",
        untied,
        lambda content: content["experts"][1].update(
            model=f"{untied.base_model}+{tmp_path / 'adapter'}"
        ),
    )
    assert run_main(recipe, "--out", tmp_path / "run") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert "experts[1].model: " in line
    assert "lm_head.weight must have the shape of the base's, [63, 32], got [70, 32]" in line


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_embeddings_that_were_only_saved_along_are_no_change(
    tied: bool, family: Family, untied: Family, tmp_path: Path
) -> None:
    base = (family if tied else untied).base_model
    adapter = make_adapter_with_embeddings(base, tmp_path / "adapter")
    assert f"base_model.model.{TABLE}" in load_file(adapter / "adapter_model.safetensors")
    expert: Any = open_expert(f"{base}+{adapter}")
    read = tensor_reader(lay_out(Checkpoint.open(base), trust=False), expert)
    assert {name for name in expert.headers if read(name) is not None} == {
        f"model.layers.{i}.self_attn.q_proj.weight" for i in range(2)
    }
    merged = merged_by_peft(base, adapter)
    for name in expert.headers:
        assert torch.allclose(expert.tensor(name), merged[name], atol=1e-6), name


@pytest.mark.parametrize("key", [f"base_model.model.{TABLE}", f"base_model.model.{HEAD}"])
def test_a_tied_tensor_that_was_changed_is_still_refused(
    key: str, family: Family, tmp_path: Path
) -> None:
    adapter = make_adapter_with_embeddings(family.base_model, tmp_path / "adapter")
    table = load_file(adapter / "adapter_model.safetensors")[f"base_model.model.{TABLE}"]
    edit(adapter, lambda stored: stored.update({key: table + 0.1}))
    layout = lay_out(Checkpoint.open(family.base_model), trust=False)
    with pytest.raises(ModelError, match="which its base ties to another tensor"):
        tensor_reader(layout, open_expert(f"{family.base_model}+{adapter}"))


@pytest.mark.parametrize("module", ["lm_head", "embed_tokens"])
@pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings=True`")
def test_factors_of_a_tied_tensor_are_refused_with_a_remedy(
    module: str, family: Family, tmp_path: Path
) -> None:
    adapter = make_adapter(family.base_model, tmp_path / "adapter", target_modules=[module])
    layout = lay_out(Checkpoint.open(family.base_model), trust=False)
    with pytest.raises(ModelError, match=r"ties to another tensor: save the base with tie_word"):
        tensor_reader(layout, open_expert(f"{family.base_model}+{adapter}"))


def test_dora_on_a_head_is_refused_as_elsewhere(untied: Family, tmp_path: Path) -> None:
    adapter = make_adapter(
        untied.base_model, tmp_path / "adapter", target_modules=["lm_head"], use_dora=True
    )
    with pytest.raises(ModelError, match="linear layers, convolutions or embeddings, got DoRA"):
        open_expert(f"{untied.base_model}+{adapter}")


def test_a_run_breeds_them_as_its_plan_says(
    untied: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapted = adapted_family(untied, tmp_path, target_modules=["lm_head", "embed_tokens"])
    recipe = write_run_recipe(tmp_path / "recipe.yaml", adapted)
    found = plan(recipe, capsys, monkeypatch)
    assert found.code == 0
    assert found.only("architecture")[1].endswith("all tensors of 2 adapters fit the base's")
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    aggregate = tmp_path / "run" / "aggregate.yaml"
    assert run_main("merge", aggregate, tmp_path / "merged", "--quiet") == 0
