"""What mergekit merges, this merges: tiny random models of many architectures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
import yaml
from safetensors.torch import load_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from tests.support.architectures import DECODER
from tests.support.families import save_versions
from tests.support.runs import run_main

pytestmark = pytest.mark.costly


def family_of(model: Any, folder: Path, **settings: Any) -> Family:
    torch.manual_seed(0)
    return save_versions(model, folder, ("a", "b"), **settings)


def genome_of(family: Family) -> Genome:
    return Genome(family, (0.6, 0.7), (Term(0, 5, 0.3), Term(1, 7, 0.2), Term(0, 9, 0.1)))


def merged_both_ways(kind: Any, family: Family, folder: Path) -> tuple[Any, Any]:
    """The same genome in place, and by the command and `from_pretrained`."""
    genome = genome_of(family)
    resident = kind.from_pretrained(family.base_model)
    experts = [Checkpoint.open(expert) for expert in family.experts]
    base = Checkpoint.open(family.base_model)
    ResidentModel(resident, base, experts, DirectionCache(folder / "factors")).load(genome)
    (folder / "model.yaml").write_text(genome.to_yaml())
    assert run_main("merge", folder / "model.yaml", folder / "out", "--quiet") == 0
    merged, loading = kind.from_pretrained(folder / "out", output_loading_info=True)
    assert not any(loading.values()), loading
    return resident, merged


def assert_equal_weights(resident: Any, merged: Any, base: str) -> None:
    expected = merged.state_dict()
    original = type(merged).from_pretrained(base).state_dict()
    moved = 0
    for name, tensor in resident.state_dict().items():
        assert torch.allclose(tensor, expected[name], rtol=1e-5, atol=1e-6), name
        moved += int(not torch.equal(tensor, original[name]))
    assert moved >= 0.95 * len(expected)


def llama(layers: int = 2, vocabulary: int = 63) -> Any:
    config = DECODER | {"num_hidden_layers": layers, "vocab_size": vocabulary}
    return transformers.LlamaForCausalLM(transformers.LlamaConfig(**config))


def test_sharded_checkpoints_are_read(tmp_path: Path) -> None:
    family = family_of(llama(), tmp_path, max_shard_size="20KB")
    assert len(list((tmp_path / "base").glob("model-*.safetensors"))) > 1
    resident, merged = merged_both_ways(transformers.LlamaForCausalLM, family, tmp_path)
    assert_equal_weights(resident, merged, family.base_model)


def write(recipe: dict[str, Any], folder: Path) -> Path:
    (folder / "model.yaml").write_text(yaml.safe_dump(recipe))
    return folder / "model.yaml"


def test_slices_put_layers_together(tmp_path: Path) -> None:
    family = family_of(llama(layers=3), tmp_path)
    sources = [
        {"model": model, "layer_range": [1, 3], "parameters": {"weight": 0.5, "mutation": "3:0.2"}}
        for model in family.experts
    ]
    recipe = {
        "merge_method": "cycleqd",
        "base_model": family.base_model,
        "slices": [{"sources": [*sources, {"model": family.base_model, "layer_range": [1, 3]}]}],
    }
    assert run_main("merge", write(recipe, tmp_path), tmp_path / "out", "--quiet") == 0
    merged = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out")
    assert merged.config.num_hidden_layers == 2


def test_modules_merge_as_the_whole_model_does(tmp_path: Path) -> None:
    family = family_of(llama(), tmp_path)
    recipe = genome_of(family).to_recipe()
    assert run_main("merge", write(recipe, tmp_path), tmp_path / "whole", "--quiet") == 0
    recipe["modules"] = {"default": {"models": recipe.pop("models")}}
    assert run_main("merge", write(recipe, tmp_path), tmp_path / "modules", "--quiet") == 0
    whole = load_file(tmp_path / "whole" / "model.safetensors")
    for name, tensor in load_file(tmp_path / "modules" / "model.safetensors").items():
        assert torch.equal(tensor, whole[name]), name


@pytest.mark.gpu
@pytest.mark.parametrize("option", ["--cuda", "--multi-gpu", "--low-cpu-memory"])
def test_a_gpu_merges_as_the_cpu_does(option: str, tmp_path: Path) -> None:
    family = family_of(llama(), tmp_path)
    recipe = write(genome_of(family).to_recipe(), tmp_path)
    options = [option] if option != "--low-cpu-memory" else ["--cuda", option]
    assert run_main("merge", recipe, tmp_path / "cpu", "--quiet") == 0
    assert run_main("merge", recipe, tmp_path / "gpu", "--quiet", *options) == 0
    expected = load_file(tmp_path / "cpu" / "model.safetensors")
    for name, tensor in load_file(tmp_path / "gpu" / "model.safetensors").items():
        assert torch.allclose(tensor, expected[name], atol=3e-6), name


def test_experts_with_tokens_of_their_own_merge_with_a_tokenizer_source(tmp_path: Path) -> None:
    family = family_of(llama(), tmp_path)
    tokenizer = transformers.AutoTokenizer.from_pretrained(family.experts[0])
    tokenizer.add_tokens(["<tool>"])
    tokenizer.save_pretrained(family.experts[0])
    expert = transformers.LlamaForCausalLM.from_pretrained(family.experts[0])
    expert.resize_token_embeddings(64, mean_resizing=False)
    expert.save_pretrained(family.experts[0])
    recipe = genome_of(family).to_recipe() | {"tokenizer_source": "union"}
    assert run_main("merge", write(recipe, tmp_path), tmp_path / "out", "--quiet") == 0
    merged = transformers.LlamaForCausalLM.from_pretrained(tmp_path / "out")
    assert merged.get_input_embeddings().weight.shape[0] == 64


@pytest.mark.parametrize("option", [["--lazy-unpickle"], ["--low-cpu-memory"], ["--async-write"]])
def test_options_of_mergekit_change_nothing_in_the_result(
    option: list[str], family: Family, tmp_path: Path
) -> None:
    genome = Genome(family, (0.6, 0.2, 0.2), (Term(0, 5, 0.3),))
    recipe = write(genome.to_recipe(), tmp_path)
    assert run_main("merge", recipe, tmp_path / "plain", "--quiet") == 0
    assert run_main("merge", recipe, tmp_path / "other", "--quiet", *option) == 0
    plain = load_file(tmp_path / "plain" / "model.safetensors")
    other = load_file(tmp_path / "other" / "model.safetensors")
    assert plain.keys() == other.keys()
    assert all(torch.equal(plain[name], other[name]) for name in plain)


@pytest.mark.parametrize(
    ("break_expert", "message"),
    [
        (lambda t: t.pop("model.norm.weight"), "model.norm.weight"),
        (lambda t: t.update({"model.norm.weight": torch.ones(33)}), "model.norm.weight"),
        (lambda t: t["model.norm.weight"].fill_(float("nan")), "model.norm.weight has NaN"),
    ],
    ids=["missing tensor", "other shape", "nan"],
)
def test_a_misfit_is_one_line_with_the_tensor_and_leaves_nothing(
    break_expert: Callable[[dict[str, torch.Tensor]], object],
    message: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    from safetensors.torch import save_file

    family = family_of(llama(), tmp_path)
    file = Path(family.experts[1]) / "model.safetensors"
    tensors = load_file(file)
    break_expert(tensors)
    save_file(tensors, file, metadata={"format": "pt"})
    recipe = write(genome_of(family).to_recipe(), tmp_path)
    assert run_main("merge", recipe, tmp_path / "out", "--quiet") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert str(recipe) in line and message in line and family.experts[1] in line
    assert not (tmp_path / "out").exists() and not list(tmp_path.glob(".*"))
    with pytest.raises(ModelError, match=message):
        merged_both_ways(transformers.LlamaForCausalLM, family, tmp_path)
