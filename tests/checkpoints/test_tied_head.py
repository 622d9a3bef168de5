"""Tied heads: told by transformers' class, and equal in memory, on disk and before a push."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import nn

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.checkpoints.mismatches import mismatches
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.hub.verify import verify_model
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from tests.support.families import save_versions, shake
from tests.support.model_matrix import Ways, genome_of
from tests.support.model_zoo import ZOO
from tests.support.runs import run_main

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # peft's, about transformers
    pytest.mark.filterwarnings("ignore:Model has `tie_word_embeddings:UserWarning"),  # peft's
]

MASKED_HEAD = "cls.predictions.decoder.weight"
TOKENS = torch.tensor([[5, 6, 7, 8]])
KINDS = {
    "gemma2": ("Gemma 2", "model.embed_tokens.weight", "q_proj"),
    "gpt2": ("GPT-2", "transformer.wte.weight", "c_attn"),
    "cohere": ("Cohere", "model.embed_tokens.weight", "q_proj"),
    "lfm2": ("LFM2", "model.embed_tokens.weight", "q_proj"),
}


def silent_family(kind: str, folder: Path) -> Family:
    """A family whose config.json says nothing of its tied head, as on the Hub."""
    torch.manual_seed(0)
    family = save_versions(ZOO[KINDS[kind][0]](), folder, ("a", "b"))
    for name in (family.base_model, *family.experts):
        edit_config(name, None)
    return family


def edit_config(folder: str, tied: bool | None) -> None:
    path = Path(folder) / "config.json"
    config = json.loads(path.read_text())
    config.pop("tie_word_embeddings", None)
    path.write_text(json.dumps(config if tied is None else config | {"tie_word_embeddings": tied}))


def store_head(folder: str, embedding: str, moved: float = 0.0) -> None:
    file = Path(folder) / "model.safetensors"
    tensors = load_file(file)
    tensors["lm_head.weight"] = tensors[embedding] + moved
    save_file(tensors, file, metadata={"format": "pt"})


def in_memory(genome: Genome, folder: Path) -> Any:
    family = genome.family
    model = transformers.AutoModelForCausalLM.from_pretrained(family.base_model)
    experts = [open_expert(expert) for expert in family.experts]
    cache = DirectionCache(folder / "factors")
    ResidentModel(model, Checkpoint.open(family.base_model), experts, cache).load(genome)
    return model


def on_disk(genome: Genome, folder: Path) -> Any:
    (folder / "model.yaml").write_text(genome.to_yaml())
    assert run_main("merge", folder / "model.yaml", folder / "out", "--quiet") == 0
    verify_model(folder / "out", genome)
    return transformers.AutoModelForCausalLM.from_pretrained(folder / "out")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("storing", [(), ("base",), ("a",), ("base", "a"), ("base", "a", "b")])
def test_a_stored_copy_of_a_tied_embedding_changes_nothing(
    kind: str, storing: tuple[str, ...], tmp_path: Path
) -> None:
    family = silent_family(kind, tmp_path)
    for name in storing:
        store_head(str(tmp_path / name), KINDS[kind][1])
    terms = (Term(0, 5, 0.3), Term(None, 3, 0.01))
    genome = Genome(family, (0.6, 0.3), terms)
    resident, merged = in_memory(genome, tmp_path), on_disk(genome, tmp_path)
    assert resident.get_output_embeddings().weight is resident.get_input_embeddings().weight
    assert torch.equal(resident(TOKENS).logits, merged(TOKENS).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_head_of_its_own_is_one_line_and_its_remedy_works(kind: str, tmp_path: Path) -> None:
    family = silent_family(kind, tmp_path)
    embedding = KINDS[kind][1]
    base, expert = Checkpoint.open(family.base_model), Checkpoint.open(family.experts[0])
    store_head(family.experts[0], embedding, moved=0.05)
    edit_config(family.experts[0], False)
    (line,) = mismatches(lay_out(base, trust=False), expert)
    assert "has a lm_head.weight of its own" in line and "tie_word_embeddings: false" in line
    edit_config(family.base_model, False)
    store_head(family.base_model, embedding)
    genome = Genome(family, (0.6, 0.3), (Term(0, 5, 0.3),))
    resident, merged = in_memory(genome, tmp_path), on_disk(genome, tmp_path)
    assert resident.get_output_embeddings().weight is not resident.get_input_embeddings().weight
    assert torch.equal(resident(TOKENS).logits, merged(TOKENS).logits)


@pytest.mark.parametrize("kind", KINDS)
def test_a_tied_expert_of_an_untied_base_is_merged_as_untied(kind: str, tmp_path: Path) -> None:
    family = silent_family(kind, tmp_path)
    embedding = KINDS[kind][1]
    edit_config(family.base_model, False)
    store_head(family.base_model, embedding, moved=0.05)
    genome = Genome(family, (0.6, 0.3))
    resident, merged = in_memory(genome, tmp_path), on_disk(genome, tmp_path)
    assert torch.equal(resident(TOKENS).logits, merged(TOKENS).logits)
    base, *experts = (
        load_file(Path(name) / "model.safetensors") for name in (family.base_model, *family.experts)
    )
    start = base["lm_head.weight"].double()
    expected = start + sum(
        weight * (expert[embedding].double() - start)
        for weight, expert in zip((0.6, 0.3), experts, strict=True)
    )
    assert torch.allclose(merged.get_output_embeddings().weight.double(), expected, atol=1e-6)


@pytest.mark.filterwarnings("ignore")  # of transformers, about tiny models
@pytest.mark.parametrize(
    ("kind", "embedding", "head"),
    [
        ("Whisper", "model.decoder.embed_tokens.weight", "proj_out.weight"),
        ("BERT, masked LM", "bert.embeddings.word_embeddings.weight", MASKED_HEAD),
        ("T5", "shared.weight", "lm_head.weight"),
    ],
)
def test_a_stored_copy_under_any_name_changes_nothing(
    kind: str, embedding: str, head: str, tmp_path: Path
) -> None:
    ways = Ways.of(kind, tmp_path)
    for folder in ("base", "a"):
        file = tmp_path / folder / "model.safetensors"
        tensors = load_file(file)
        save_file(tensors | {head: tensors[embedding].clone()}, file, metadata={"format": "pt"})
    model, resident = ways.in_memory()
    resident.load(genome_of(ways.family))
    merged, _ = ways.merged(genome_of(ways.family))
    for name, tensor in model.state_dict().items():
        assert torch.allclose(tensor, merged.state_dict()[name], rtol=1e-5, atol=3e-6), name
    moved = tensors | {head: tensors[embedding] + 0.05}
    save_file(moved, file, metadata={"format": "pt"})
    base, expert = (Checkpoint.open(str(tmp_path / folder)) for folder in ("base", "a"))
    (line,) = mismatches(lay_out(base, trust=False), expert)
    assert f"has a {head} of its own" in line


@pytest.mark.parametrize("kind", KINDS)
def test_an_adapter_of_a_tied_embedding_is_refused_and_the_remedy_equals_peft(
    kind: str, tmp_path: Path
) -> None:
    family = silent_family(kind, tmp_path)
    _, embedding, target = KINDS[kind]
    model = transformers.AutoModelForCausalLM.from_pretrained(family.base_model)
    settings = LoraConfig(
        task_type="CAUSAL_LM",
        r=4,
        target_modules=[target],
        modules_to_save=[embedding.split(".")[-2]],
        fan_in_fan_out=kind == "gpt2",
    )
    adapted = get_peft_model(model, settings)
    shake(adapted, 0.05)
    adapted.save_pretrained(tmp_path / "adapter")
    expert = f"{family.base_model}+{tmp_path / 'adapter'}"
    tied = lay_out(Checkpoint.open(family.base_model), trust=False)
    (line,) = mismatches(tied, open_expert(expert))
    assert "ties to another tensor: save the base with" in line
    base = transformers.AutoModelForCausalLM.from_pretrained(family.base_model)
    loaded = PeftModel.from_pretrained(base, tmp_path / "adapter")
    expected = loaded(TOKENS).logits.detach()
    edit_config(family.base_model, False)
    store_head(family.base_model, embedding)
    genome = Genome(replace(family, experts=(expert,)), (1.0,))
    assert torch.allclose(in_memory(genome, tmp_path)(TOKENS).logits, expected, atol=1e-5)
    assert torch.allclose(on_disk(genome, tmp_path)(TOKENS).logits, expected, atol=1e-5)


def test_two_stored_tensors_that_differ_are_not_tied_whatever_the_configuration_says(
    tmp_path: Path,
) -> None:
    family = silent_family("gemma2", tmp_path)
    store_head(family.base_model, KINDS["gemma2"][1], moved=0.05)
    assert not lay_out(Checkpoint.open(family.base_model), trust=False).tied
    assert lay_out(Checkpoint.open(family.experts[0]), trust=False).tied
    model = transformers.AutoModelForCausalLM.from_pretrained(family.base_model)
    head: nn.Module = model.get_output_embeddings()
    assert head.weight is not model.get_input_embeddings().weight
