"""Quantised checkpoints are refused in one line, wherever they stand and whoever made them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint, TensorHeader
from mergekit_cycleqd.checkpoints.quantized import quantized_fault, quantized_tensors
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from tests.support.families import make_adapter
from tests.support.plans import plan
from tests.support.planted_faults import edit_json, edit_tensors
from tests.support.quantized import KINDS, quantize, tell
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

NEEDS = "needs weights of 16 bits or more, got quantised ones"
MEND = "; name the 16-bit model that they were made from, or save them in 16 bits "
OTHERS = f"{MEND}and name that folder"
CAN = f"{MEND}by `mergekit-cycleqd dequantize MODEL OUT`; a run does that for dequantize: true"


@pytest.fixture
def copied(family: Family, tmp_path: Path) -> Family:
    """The family in folders that may be spoilt."""
    models = (family.base_model, *family.experts)
    base, *experts = (str(shutil.copytree(m, tmp_path / Path(m).name)) for m in models)
    return Family(base, tuple(experts))


def name_of(kind: str) -> str:
    """What the message calls a kind."""
    return {
        "bitsandbytes 4-bit in bfloat16": "bitsandbytes 4-bit",
        "compressed-tensors of old": "compressed-tensors",
        "4-bit of MLX": "4-bit",
    }.get(kind, kind)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_is_known_by_its_settings_and_without_them_by_its_tensors(
    kind: str, copied: Family
) -> None:
    expert = Path(copied.experts[1])
    quantize(expert, kind, told=False)
    fault = quantized_fault(Checkpoint.open(str(expert)))
    mend = CAN if kind == "fp8" else OTHERS
    assert fault.startswith(f"{NEEDS}, such as model.layers.0.") and fault.endswith(mend)
    tell(expert, kind)
    fault = quantized_fault(Checkpoint.open(str(expert)))
    assert fault == f"{NEEDS} of {name_of(kind)} ({KINDS[kind].key} in config.json){mend}"


@pytest.mark.parametrize("part", ["text_config", "llm_config"])
def test_settings_of_a_part_of_the_model_are_seen_too(part: str, copied: Family) -> None:
    expert = Path(copied.experts[1])
    quantize(expert, "fp8", part)
    fault = quantized_fault(Checkpoint.open(str(expert)))
    assert fault == f"{NEEDS} of fp8 ({part}.quantization_config in config.json){CAN}"


def of_base(copied: Family, tmp_path: Path) -> tuple[Family, list[str], Path]:
    return copied, ["base_model"], Path(copied.base_model)


def of_base_of_adapters(copied: Family, tmp_path: Path) -> tuple[Family, list[str], Path]:
    adapters = [make_adapter(copied.base_model, tmp_path / f"adapter{i}", i) for i in range(3)]
    experts = tuple(f"{copied.base_model}+{adapter}" for adapter in adapters)
    return Family(copied.base_model, experts), ["base_model"], Path(copied.base_model)


def of_an_expert(copied: Family, tmp_path: Path) -> tuple[Family, list[str], Path]:
    keys = ["experts[1].model", "models[1].model"]
    return copied, keys, Path(copied.experts[1])


def of_another_base_of_an_adapter(copied: Family, tmp_path: Path) -> tuple[Family, list[str], Path]:
    """As an adapter of QLoRA names it, beside a base that is whole."""
    adapter = make_adapter(copied.base_model, tmp_path / "adapter")
    small = Path(shutil.copytree(copied.base_model, tmp_path / "base-4bit"))
    experts = (*copied.experts[:2], f"{small}+{adapter}")
    return Family(copied.base_model, experts), ["experts[2].model", "models[2].model"], small


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
@pytest.mark.parametrize("kind", ["fp8", "bitsandbytes 4-bit"])
@pytest.mark.parametrize(
    "place", [of_base, of_base_of_adapters, of_an_expert, of_another_base_of_an_adapter]
)
def test_plan_run_and_merge_refuse_it_in_one_line(
    place: Callable[..., Any],
    kind: str,
    told: bool,
    copied: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    family, keys, model = place(copied, tmp_path)
    quantize(model, kind, told=told)
    recipe = write_run_recipe(tmp_path / "recipe.yaml", family)
    found = plan(recipe, capsys, monkeypatch)
    mark, text = found.only("models")
    assert found.code == 1 and mark == "✗"
    assert text.startswith(f"{keys[0]}: {model}: {NEEDS}")
    assert text.endswith(CAN if kind == "fp8" else OTHERS)
    assert run_main(recipe, "--out", tmp_path / "run") == 2
    assert capsys.readouterr().err == f"error: {recipe}: {text}\n"
    merged = tmp_path / "model.yaml"
    merged.write_text(Genome.uniform(family).to_yaml())
    assert run_main("merge", merged, tmp_path / "out", "--quiet") == 2
    assert capsys.readouterr().err == f"error: {merged}: {text.replace(keys[0], keys[-1])}\n"
    assert not (tmp_path / "out").exists() and not (tmp_path / "run").exists()


def test_settings_over_plain_tensors_have_a_remedy_of_their_own(copied: Family) -> None:
    tell(Path(copied.base_model), "bitsandbytes 4-bit")
    fault = quantized_fault(Checkpoint.open(copied.base_model))
    assert fault == (
        "needs a config.json without quantization_config of bitsandbytes 4-bit, since its tensors "
        "are plain: take that key out, or name the model that it was made from"
    )


def test_settings_that_are_empty_say_nothing(copied: Family) -> None:
    base = Path(copied.base_model)
    edit_json(base / "config.json", lambda config: config.update(quantization_config=None))
    assert quantized_fault(Checkpoint.open(str(base))) == ""
    edit_json(base / "config.json", lambda config: config.update(quantization={"commit": True}))
    assert quantized_fault(Checkpoint.open(str(base))) == ""


def test_whole_numbers_that_are_no_weights_are_left_alone(copied: Family) -> None:
    """Masks of GPT-2 and positions of older checkpoints."""
    extra = {
        "h.0.attn.bias": torch.ones(1, 1, 8, 8, dtype=torch.uint8),
        "h.0.attn.mask": torch.ones(8, 8, dtype=torch.bool),
        "embeddings.position_ids": torch.arange(8)[None],
        "h.0.relative_position_index": torch.arange(8),
    }
    edit_tensors(Path(copied.base_model), lambda tensors: tensors.update(extra))
    assert quantized_fault(Checkpoint.open(copied.base_model)) == ""


@pytest.mark.parametrize("dtype", ["F8_E4M3", "F8_E5M2", "F8_E8M0", "F4", "F6_E2M3", "U4", "I4"])
def test_numbers_of_eight_bits_or_fewer_are_quantised_whatever_their_name(dtype: str) -> None:
    header = TensorHeader((4, 4), dtype, "model.safetensors")
    assert quantized_tensors({"lm_head": header}) == [f"lm_head of {dtype}"]
