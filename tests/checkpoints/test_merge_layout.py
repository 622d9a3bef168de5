"""One name per tensor: in memory, by mergekit, and in the check before a push."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.genome_tensors import genome_tensor
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.layout.tensor_readers import tensor_reader
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.hub.verify import verify_model
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from tests.support.families import shake
from tests.support.renamed_models import RENAMED, stored_family
from tests.support.runs import run_main

pytestmark = pytest.mark.costly

TERMS = (Term(0, 5, 0.3), Term(1, 7, 0.2), Term(None, 3, 0.01))


def genomes(family: Family) -> list[Genome]:
    singular = replace(family, task_vectors=TaskVectors("tsv", 0.5))
    return [
        Genome(family, (0.6, 0.3), TERMS),
        mutate_own(Genome(family, (0.6, 0.3)), 9, 0.2),
        Genome(singular, (0.6, 0.7), TERMS[:2]),
    ]


def as_checked(genome: Genome, folder: Path) -> None:
    """Write what the check before a push expects, under the names by which it is merged."""
    family = genome.family
    base = Checkpoint.open(family.base_model)
    layout = lay_out(base, trust=False)
    read, *experts = (
        tensor_reader(layout, Checkpoint.open(model))
        for model in (family.base_model, *family.experts)
    )
    tensors = {}
    for name in layout.names:
        start = read(name)
        assert isinstance(start, torch.Tensor)
        tensors[name] = genome_tensor(name, genome, start, experts)
    shutil.copytree(family.base_model, folder)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def assert_whole_and_equal(resident: Any, folder: Path, base: dict[str, torch.Tensor]) -> None:
    other, loading = type(resident).from_pretrained(folder, output_loading_info=True)
    assert not loading["missing_keys"] and not loading["unexpected_keys"], loading
    found, moved = other.state_dict(), 0
    for name, tensor in resident.state_dict().items():
        assert torch.equal(tensor, found[name]), name
        moved += int(not torch.equal(tensor, base[name]))
    assert moved >= 0.95 * len(base)


@pytest.mark.parametrize("name", RENAMED)
def test_a_model_is_the_same_in_memory_on_disk_and_before_a_push(name: str, tmp_path: Path) -> None:
    kind, family = stored_family(RENAMED[name], tmp_path)
    model = kind.from_pretrained(family.base_model)
    start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    resident = ResidentModel(model, base, experts, DirectionCache(tmp_path / "factors"))
    for i, genome in enumerate(genomes(family)):
        resident.load(genome)
        as_checked(genome, tmp_path / f"checked{i}")
        assert_whole_and_equal(model, tmp_path / f"checked{i}", start)
        recipe, out = tmp_path / "model.yaml", tmp_path / f"out{i}"
        recipe.write_text(genome.to_yaml())
        assert run_main("merge", recipe, out, "--quiet") == 0
        assert_whole_and_equal(model, out, start)
        verify_model(out, genome)


@pytest.mark.parametrize("name", ["gemma3", "qwen2.5-vl", "mistral3", "afmoe", "deepseek-v3"])
def test_draws_are_keyed_by_the_names_of_the_files(name: str, tmp_path: Path) -> None:
    _, family = stored_family(RENAMED[name], tmp_path)
    base = Checkpoint.open(family.base_model)
    layout = lay_out(base, trust=False)
    floating = {key for key, tensor in load_file(tmp_path / "base" / "model.safetensors").items()}
    assert set(layout.names) == floating


@pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers
@pytest.mark.parametrize("name", ["gemma3", "mistral3", "afmoe"])
def test_an_adapter_finds_its_tensors_under_either_name(name: str, tmp_path: Path) -> None:
    kind, whole = stored_family(RENAMED[name], tmp_path)
    model = kind.from_pretrained(whole.base_model)
    start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    adapted = get_peft_model(model, LoraConfig(r=4, target_modules=r".*q_proj"))
    shake(adapted, 0.2)
    adapted.save_pretrained(tmp_path / "adapter")
    expected = adapted.merge_and_unload().state_dict()
    expert = f"{whole.base_model}+{tmp_path / 'adapter'}"
    family = replace(whole, experts=(expert, whole.experts[1]))
    base, *experts = map(open_expert, (family.base_model, *family.experts))
    model = kind.from_pretrained(family.base_model)
    resident = ResidentModel(model, base, experts, DirectionCache(tmp_path / "factors"))
    resident.load(Genome(family, (1.0, 0.0)))
    for key, tensor in model.state_dict().items():
        assert torch.allclose(tensor, expected[key], atol=1e-6), key
    genome = Genome(family, (0.6, 0.3), (Term(0, 5, 0.3), Term(1, 7, 0.2)))
    resident.load(genome)
    (tmp_path / "model.yaml").write_text(genome.to_yaml())
    assert run_main("merge", tmp_path / "model.yaml", tmp_path / "out", "--quiet") == 0
    verify_model(tmp_path / "out", genome)
    merged = kind.from_pretrained(tmp_path / "out").state_dict()
    for key, tensor in model.state_dict().items():
        assert torch.allclose(tensor, merged[key], atol=1e-6), key
    assert not torch.equal(merged["lm_head.weight"], start["lm_head.weight"])
