"""Experts that compute otherwise than the base, by their config.json."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.plan.configurations import configuration_findings

BASE: dict[str, Any] = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "hidden_size": 16,
    "num_attention_heads": 2,
    "rope_theta": 10000.0,
    "rms_norm_eps": 1e-6,
}
TEXT = "experts[0].model: config.json differs from the base's, which merged models have: "


def model(folder: Path, **settings: Any) -> Checkpoint:
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(BASE | settings))
    return Checkpoint(str(folder), folder)


def said(tmp_path: Path, base: dict[str, Any], expert: dict[str, Any]) -> list[str]:
    found = configuration_findings(
        {
            "base_model": model(tmp_path / "base", **base),
            "experts[0].model": model(tmp_path / "expert", **expert),
        }
    )
    assert {each.level for each in found} <= {"warning"}
    return [each.text for each in found]


@pytest.mark.parametrize(
    "expert",
    [
        {},
        {"transformers_version": "4.1", "torch_dtype": "float16", "use_cache": False},
        {"_name_or_path": "me/other", "eos_token_id": [1, 2], "attention_dropout": 0.1},
        {"rope_scaling": None, "max_position_embeddings": 2048, "hidden_act": "silu"},
    ],
)
def test_what_changes_no_output_is_not_told(expert: dict[str, Any], tmp_path: Path) -> None:
    assert said(tmp_path, {"max_position_embeddings": 2048}, expert) == []


@pytest.mark.parametrize(
    ("expert", "difference"),
    [
        ({"rope_theta": 5e5}, "rope_parameters.rope_theta is 500000.0, the base has 10000.0"),
        ({"rms_norm_eps": 1e-5}, "rms_norm_eps is 1e-05, the base has 1e-06"),
        ({"hidden_act": "gelu"}, "hidden_act is 'gelu', the base has 'silu'"),
    ],
)
def test_what_computes_otherwise_is_told(
    expert: dict[str, Any], difference: str, tmp_path: Path
) -> None:
    assert said(tmp_path, {}, expert) == [TEXT + difference]


def test_a_model_of_its_own_class_is_compared_as_its_files_say(tmp_path: Path) -> None:
    own = {"model_type": "odd"}
    (text,) = said(tmp_path, own, {**own, "rope_theta": 5.0, "head": {"scale": 2}})
    assert (
        text == f"{TEXT}head.scale is 2, the base has None, rope_theta is 5.0, the base has 10000.0"
    )


@pytest.mark.parametrize(
    ("named", "base", "told"),
    [
        ("org/base-instruct", "org/base", True),
        ("org/base", "org/base@abc", False),
        ("Org/Base", "org/base", False),
        ("/home/you/base", "org/base", False),
        (None, "org/base", False),
        ("org/base", "/models/base", False),
    ],
)
def test_an_adapter_of_another_base_is_told(
    named: str | None, base: str, told: bool, tmp_path: Path
) -> None:
    folder = model(tmp_path / "base").folder
    adapter = tmp_path / "adapter"
    adapter.mkdir()
    settings = {"peft_type": "LORA", "base_model_name_or_path": named, "r": 1, "lora_alpha": 1}
    (adapter / "adapter_config.json").write_text(json.dumps(settings))
    expert = LoRAExpert(f"{base}+a", folder, adapter)
    found = configuration_findings(
        {"base_model": Checkpoint(base, folder), "experts[0].model": expert}
    )
    text = f"experts[0].model: the adapter was trained on {named}, and the base is {base}"
    assert [each.text for each in found] == ([text] if told else [])
