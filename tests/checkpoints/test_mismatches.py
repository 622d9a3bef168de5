"""Tensors that a class computes if a checkpoint lacks them are no fault of the checkpoint."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.mismatches import base_faults, mismatches
from tests.support.model_matrix import Ways, genome_of

pytestmark = pytest.mark.costly

BIAS = "final_logits_bias"


def drop(folder: Path, name: str) -> None:
    weights = load_file(folder / "model.safetensors")
    del weights[name]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def test_a_base_without_a_tensor_that_its_class_computes_is_whole(tmp_path: Path) -> None:
    ways = Ways.of("BART", tmp_path)
    for name in ("base", "a", "b"):
        drop(tmp_path / name, BIAS)
    layout = lay_out(Checkpoint.open(ways.family.base_model), trust=False)
    assert BIAS not in layout.names
    assert not base_faults(layout)
    assert not mismatches(layout, Checkpoint.open(ways.family.experts[0]))
    model, resident = ways.in_memory()
    resident.load(genome_of(ways.family))
    merged, _ = ways.merged(genome_of(ways.family))
    for key, tensor in merged.state_dict().items():
        assert torch.allclose(model.state_dict()[key], tensor, rtol=1e-5, atol=3e-6), key


def test_an_expert_that_stores_such_a_tensor_has_more_than_the_base(tmp_path: Path) -> None:
    ways = Ways.of("BART", tmp_path)
    drop(tmp_path / "base", BIAS)
    layout = lay_out(Checkpoint.open(ways.family.base_model), trust=False)
    (fault,) = mismatches(layout, Checkpoint.open(ways.family.experts[0]))
    assert fault == f"has {BIAS} that the base {ways.family.base_model} lacks"
