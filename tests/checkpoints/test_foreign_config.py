"""A stranger's config.json makes transformers neither hang nor read other weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.foreign_config import size_fault, weights_fault
from mergekit_cycleqd.checkpoints.layout.known_config import known_config
from mergekit_cycleqd.engines.hf.engine import load_lm
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.families import make_family


@pytest.mark.costly
@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        ({"num_hidden_layers": 10**6}, "must have at most 10000 layers, got 1e[+]06"),
        ({"text_config": {"num_hidden_layers": 10**400}}, "at most 10000 layers, got 1e[+]300"),
        ({"transformers_weights": "other.safetensors"}, "names weights of its own"),
    ],
)
def test_it_is_refused_in_one_line(changed: dict[str, Any], wanted: str, tmp_path: Path) -> None:
    base = Path(make_family(tmp_path).base_model)
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps(config | changed))
    with pytest.raises(ModelError, match=wanted):
        load_lm(Engine(device="cpu"), Checkpoint.open(str(base)))


def test_what_models_have_is_taken() -> None:
    config = {"num_hidden_layers": 128, "layer_types": ["a"], "transformers_weights": None}
    assert size_fault(config) is weights_fault(config) is None


def test_a_value_that_breaks_the_class_when_it_is_written_is_no_known_config() -> None:
    assert known_config({"model_type": "llama", "quantization_config": "fp8"}) is None
    assert known_config({"model_type": "llama"}) is not None


@pytest.mark.costly
@pytest.mark.filterwarnings("ignore:.*is_gradient_checkpointing:FutureWarning")
def test_files_of_an_adapter_beside_a_model_change_no_answer(tmp_path: Path) -> None:
    base = make_family(tmp_path).base_model
    ids = torch.arange(5)[None]
    engine = Engine(device="cpu", dtype="float32")
    before = load_lm(engine, Checkpoint.open(base)).model(ids).logits
    adapted = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(target_modules=["q_proj"], init_lora_weights=False),
    )
    adapted.save_pretrained(base)
    assert (Path(base) / "adapter_model.safetensors").exists()
    assert torch.equal(load_lm(engine, Checkpoint.open(base)).model(ids).logits, before)
