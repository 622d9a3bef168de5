"""What a worker of vLLM feeds to it: the tensors of a genome, or of the base as it is stored."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.vllm.worker import GenomeTensors
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from tests.support.families import make_family, mixture
from tests.support.merges import bred, in_place
from tests.support.renamed_models import RENAMED, stored_family
from tests.support.vocabularies import EMBEDDING, HEAD, TOKENS, mixed_family

pytestmark = pytest.mark.costly


def sent(family: Family) -> dict[str, Any]:
    """What the engine sends to each worker."""
    base, experts = open_family(family)
    return {
        "models": [family.base_model, *family.experts],
        "tokenizer": family.tokenizer.written() if family.tokenizer else None,
        "fingerprints": [model.fingerprint() for model in (base, *experts)],
        "dtype": "float32",
        "trust_remote_code": False,
    }


def test_the_base_is_fed_as_vllm_loads_it_from_its_folder(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    tensors = GenomeTensors(sent(family), torch.device("cpu"))
    stored = load_file(Path(family.base_model) / "model.safetensors")
    fed = dict(tensors.tensors(None))
    assert fed.keys() == stored.keys()
    assert all(torch.equal(tensor, stored[name]) for name, tensor in fed.items())
    merged = dict(tensors.tensors(Genome.from_base(family)))
    for name, tensor in merged.items():
        rows = TOKENS if name in (EMBEDDING, HEAD) else None
        assert torch.equal(tensor[:rows], stored[name][:rows]), name
    assert not torch.equal(merged[HEAD], stored[HEAD]), "padding is the mean of the other rows"


@pytest.mark.parametrize("make", [make_family, mixture])
def test_a_base_without_padding_is_fed_as_its_genome(
    make: Callable[[Path], Family], tmp_path: Path
) -> None:
    family = make(tmp_path)
    tensors = GenomeTensors(sent(family), torch.device("cpu"))
    fed = dict(tensors.tensors(None))
    merged = dict(tensors.tensors(Genome.from_base(family)))
    assert fed.keys() == merged.keys()
    assert all(torch.equal(tensor, merged[name]) for name, tensor in fed.items())


def test_a_genome_is_fed_with_the_vocabulary_of_the_base(tmp_path: Path) -> None:
    genome = bred(mixed_family(tmp_path))
    tensors = GenomeTensors(sent(genome.family), torch.device("cpu"))
    fed = dict(tensors.tensors(genome))
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.equal(tensor, fed[name]), name


def test_a_worker_does_not_take_another_vocabulary(tmp_path: Path) -> None:
    family = mixed_family(tmp_path)
    told = sent(family) | {"tokenizer": None}
    with pytest.raises(ModelError, match="finds other weights"):
        GenomeTensors(told, torch.device("cpu"))


@pytest.mark.parametrize("name", ["gemma3", "qwen2.5-vl", "llava", "mixtral"])
def test_an_expert_is_fed_under_the_names_of_its_repository(name: str, tmp_path: Path) -> None:
    _, family = stored_family(RENAMED[name], tmp_path)
    tensors = GenomeTensors(sent(family), torch.device("cpu"))
    fed = dict(tensors.tensors(Genome.from_expert(family, 1)))
    expert = Checkpoint.open(family.experts[1])
    assert fed.keys() == expert.headers.keys()
    for key, tensor in fed.items():
        assert torch.allclose(tensor, expert.tensor(key), atol=1e-6), key
