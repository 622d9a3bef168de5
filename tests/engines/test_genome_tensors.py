"""What vLLM's workers feed are the tensors of a checkpoint, for models that see images too."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.vllm.worker import GenomeTensors
from mergekit_cycleqd.genome.genome import Genome
from tests.support.renamed_models import RENAMED, stored_family


@pytest.mark.costly
@pytest.mark.parametrize("name", ["gemma3", "qwen2.5-vl", "llava", "mixtral"])
def test_an_expert_is_fed_under_the_names_of_its_repository(name: str, tmp_path: Path) -> None:
    _, family = stored_family(RENAMED[name], tmp_path)
    models = [Checkpoint.open(model) for model in (family.base_model, *family.experts)]
    sent = {
        "models": [model.name for model in models],
        "fingerprints": [model.fingerprint() for model in models],
        "dtype": "float32",
        "trust_remote_code": False,
    }
    tensors = GenomeTensors(sent, torch.device("cpu"))
    fed = dict(tensors.tensors(Genome.from_expert(family, 1)))
    expert = models[2]
    assert fed.keys() == expert.headers.keys()
    for key, tensor in fed.items():
        assert torch.allclose(tensor, expert.tensor(key), atol=1e-6), key
