"""Quantised models in 16 bits: the numbers that transformers makes of them, then as any other."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import (
    AutoModelForCausalLM,
    FineGrainedFP8Config,
    GptOssConfig,
    GptOssForCausalLM,
    Mxfp4Config,
)

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.quantized import quantized_fault
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.experts.dequantize import dequantize
from mergekit_cycleqd.genome.family import Family
from tests.support.costly import costly
from tests.support.families import make_adapter
from tests.support.plans import plan
from tests.support.planted_faults import edit_json, edit_tensors
from tests.support.quantized import quantize
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

CAN = (
    "or save them in 16 bits by `mergekit-cycleqd dequantize MODEL OUT`; a run does that for "
    "dequantize: true"
)


@pytest.fixture
def fp8(family: Family, tmp_path: Path) -> Family:
    """The family with its base and its second expert in FP8, and in bfloat16 where not."""

    def shorten(tensors: dict[str, torch.Tensor]) -> None:
        whole = [name for name in tensors if "_proj" not in name]
        tensors.update({name: tensors[name].bfloat16() for name in whole})

    models = (family.base_model, *family.experts)
    base, *experts = (Path(shutil.copytree(m, tmp_path / Path(m).name)) for m in models)
    for model in (base, experts[1]):
        quantize(model, "fp8")
        edit_tensors(model, shorten)
        edit_json(model / "config.json", lambda config: config.update(dtype="bfloat16"))
    return Family(str(base), tuple(map(str, experts)))


@pytest.fixture(scope="module")
@costly
def gpt_oss(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny mixture of gpt-oss's kind, its experts in mxfp4."""
    torch.manual_seed(0)
    config = GptOssConfig(
        vocab_size=64,
        hidden_size=64,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=32,
        num_local_experts=2,
        num_experts_per_tok=1,
        layer_types=["full_attention"],
        pad_token_id=0,
        dtype="bfloat16",
    )
    folder = tmp_path_factory.mktemp("gpt-oss")
    GptOssForCausalLM(config).to(torch.bfloat16).save_pretrained(folder)

    def pack(tensors: dict[str, torch.Tensor]) -> None:
        for name in [name for name in tensors if name.endswith(("gate_up_proj", "down_proj"))]:
            experts, n, m = tensors.pop(name).shape
            blocks = torch.randint(0, 256, (experts, m, n // 32, 16), dtype=torch.uint8)
            tensors[f"{name}_blocks"] = blocks
            tensors[f"{name}_scales"] = torch.randint(
                118, 130, (experts, m, n // 32), dtype=torch.uint8
            )

    edit_tensors(folder, pack)
    settings = {"quant_method": "mxfp4", "modules_to_not_convert": ["lm_head"]}
    edit_json(folder / "config.json", lambda c: c.update(quantization_config=settings))
    return folder


def test_fp8_becomes_what_transformers_makes_of_it(fp8: Family, tmp_path: Path) -> None:
    out = tmp_path / "out"
    (Path(fp8.base_model) / "hf_quant_config.json").write_text('{"quant_algo": "FP8"}')
    assert run_main("dequantize", fp8.base_model, out) == 0
    assert not (out / "hf_quant_config.json").exists()
    assert quantized_fault(Checkpoint.open(str(out))) == ""
    config = json.loads((out / "config.json").read_text())
    assert "quantization_config" not in config and config["dtype"] == "bfloat16"
    assert (out / "tokenizer.json").is_file()
    settings = FineGrainedFP8Config(dequantize=True)
    known = AutoModelForCausalLM.from_pretrained(
        fp8.base_model, quantization_config=settings, dtype=torch.bfloat16
    )
    found = AutoModelForCausalLM.from_pretrained(out)
    assert found.dtype == torch.bfloat16
    for name, tensor in known.state_dict().items():
        assert torch.equal(found.state_dict()[name], tensor), name


@pytest.mark.filterwarnings("ignore:.*MXFP4")
def test_mxfp4_becomes_what_transformers_makes_of_it(gpt_oss: Path, tmp_path: Path) -> None:
    assert run_main("dequantize", gpt_oss, tmp_path / "out") == 0
    settings = Mxfp4Config(dequantize=True)
    known = AutoModelForCausalLM.from_pretrained(
        gpt_oss, quantization_config=settings, dtype=torch.bfloat16
    )
    found = AutoModelForCausalLM.from_pretrained(tmp_path / "out").state_dict()
    assert found["model.layers.0.mlp.experts.gate_up_proj"].abs().max() > 1
    for name, tensor in known.state_dict().items():
        assert torch.equal(found[name], tensor), name


def stored(model: Path, **tensors: torch.Tensor) -> Checkpoint:
    """A checkpoint of a few tensors, its names with a dash for each dot."""
    model.mkdir()
    named = {name.replace("__", "."): tensor for name, tensor in tensors.items()}
    save_file(named, model / "model.safetensors", metadata={"format": "pt"})
    block = {"quant_method": "fp8", "weight_block_size": [4, 4]}
    (model / "config.json").write_text(json.dumps({"quantization_config": block}))
    return Checkpoint.open(str(model))


NUMBERS = torch.arange(24).reshape(6, 4).float() - 7


@pytest.mark.parametrize(
    ("scale", "each"),
    [
        (torch.tensor(0.5), [0.5] * 6),
        (torch.tensor([0.5]), [0.5] * 6),
        (torch.tensor([1.0, 2, 4, 8, 16, 32]), [1.0, 2, 4, 8, 16, 32]),
        (torch.tensor([1.0, 2, 4, 8, 16, 32])[:, None], [1.0, 2, 4, 8, 16, 32]),
        (torch.tensor([[2.0], [4.0]]), [2.0, 2, 2, 2, 4, 4]),
        (torch.tensor([[126], [129]], dtype=torch.uint8), [0.5] * 4 + [4.0] * 2),
    ],
    ids=["tensor", "one", "rows", "rows of one", "blocks, the last a part", "exponents"],
)
@pytest.mark.parametrize("end", ["weight_scale_inv", "weight_scale"])
def test_scales_of_every_shape_are_spread(
    end: str, scale: torch.Tensor, each: list[float], tmp_path: Path
) -> None:
    weight = NUMBERS.to(torch.float8_e4m3fn)
    named = {"up__weight": weight, f"up__{end}": scale, "up__input_scale": torch.ones(1)}
    model = stored(tmp_path / "model", **named, norm__weight=torch.ones(3))
    dequantize(model, tmp_path / "out")
    made = load_file(tmp_path / "out" / "model.safetensors")
    assert set(made) == {"up.weight", "norm.weight"}
    assert made["up.weight"].dtype == torch.bfloat16 and made["norm.weight"].dtype == torch.float32
    expected = (weight.float() * torch.tensor(each)[:, None]).bfloat16()
    assert torch.equal(made["up.weight"], expected)


def test_shards_stay_shards_with_an_index(fp8: Family, tmp_path: Path) -> None:
    base = Path(fp8.base_model)
    tensors = load_file(base / "model.safetensors")
    halves = [sorted(tensors)[::2], sorted(tensors)[1::2]]  # scales are apart from their weights
    placed = {}
    for i, names in enumerate(halves):
        file = f"model-{i + 1:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in names}, base / file, metadata={"format": "pt"})
        placed |= dict.fromkeys(names, file)
    whole = tmp_path / "whole"
    dequantize(Checkpoint.open(str(base)), whole)
    (base / "model.safetensors").unlink()
    index = {"metadata": {}, "weight_map": placed}
    (base / "model.safetensors.index.json").write_text(json.dumps(index))
    dequantize(Checkpoint.open(str(base)), tmp_path / "out")
    found, known = Checkpoint.open(str(tmp_path / "out")), Checkpoint.open(str(whole))
    assert found.headers.keys() == known.headers.keys()
    assert all(torch.equal(found.tensor(name), known.tensor(name)) for name in known.headers)
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "out").dtype == torch.bfloat16


@pytest.mark.parametrize("kind", ["bitsandbytes 4-bit", "gptq 4-bit", "compressed-tensors"])
def test_other_kinds_are_refused(kind: str, family: Family, tmp_path: Path) -> None:
    model = Path(shutil.copytree(family.base_model, tmp_path / "model"))
    quantize(model, kind)
    with pytest.raises(ModelError, match="FP8 and mxfp4 can be dequantised, got model"):
        dequantize(Checkpoint.open(str(model)), tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["model"]
    assert CAN not in quantized_fault(Checkpoint.open(str(model)))


def test_the_command_refuses_what_it_cannot_do_in_a_line(
    fp8: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "there").mkdir()
    for model, out, line in (
        (fp8.base_model, "there", "must be a new folder; remove it or name another"),
        (fp8.experts[0], "out", "is not quantised; name it as it is"),
        (tmp_path / "none", "out", "needs a model folder or a Hub id"),
    ):
        assert run_main("dequantize", model, tmp_path / out) == 2
        assert line in capsys.readouterr().err


@pytest.mark.parametrize("told", [True, False], ids=["told", "not told"])
def test_a_refusal_names_the_way(told: bool, gpt_oss: Path, fp8: Family, tmp_path: Path) -> None:
    for model in (gpt_oss, Path(fp8.base_model)):
        copy = Path(shutil.copytree(model, tmp_path / f"{model.name}-{told}"))
        if not told:
            edit_json(copy / "config.json", lambda config: config.pop("quantization_config"))
        assert quantized_fault(Checkpoint.open(str(copy))).endswith(CAN)


@pytest.fixture
def recipe_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Family], Path]:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))

    def make(family: Family) -> Path:
        return write_run_recipe(
            tmp_path / "recipe.yaml", family, lambda content: content.update(dequantize=True)
        )

    return make


def copies(tmp_path: Path) -> dict[str, int]:
    """When each copy in the cache was made, by its name."""
    found = (tmp_path / "cache" / "dequantized").iterdir()
    return {path.name: path.stat().st_mtime_ns for path in found}


def test_a_run_takes_copies_in_16_bits_and_makes_them_once(
    fp8: Family,
    recipe_of: Callable[[Family], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    adapter = make_adapter(fp8.experts[0], tmp_path / "adapter")
    experts = (fp8.experts[0], fp8.experts[1], f"{fp8.base_model}+{adapter}")
    recipe = recipe_of(Family(fp8.base_model, experts))
    found = plan(recipe, capsys, monkeypatch)
    kept = copies(tmp_path)
    assert found.code == 0 and len(kept) == 2
    assert [mark for mark, _ in found["dequantize"]] == ["✓", "✓"]
    assert found["dequantize"][1][1].startswith(f"experts[1].model: {fp8.experts[1]} in 16 bits")
    assert "all tensors of 1 adapter fit" in found.only("architecture")[1]
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    aggregate = tmp_path / "run" / "aggregate.yaml"
    content = yaml.safe_load(aggregate.read_text())
    assert Path(content["base_model"]).parent == tmp_path / "cache" / "dequantized"
    assert run_main("merge", aggregate, tmp_path / "merged", "--quiet") == 0
    capsys.readouterr()
    assert run_main(recipe, "--out", tmp_path / "run") == 0
    assert "going on after" in capsys.readouterr().out
    assert copies(tmp_path) == kept


def test_what_cannot_be_dequantised_is_a_fault_with_its_key(
    family: Family,
    recipe_of: Callable[[Family], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    green = Path(shutil.copytree(family.experts[1], tmp_path / "green"))
    quantize(green, "gptq 4-bit")
    experts = (family.experts[0], str(green), family.experts[2])
    recipe = recipe_of(Family(family.base_model, experts))
    mark, text = plan(recipe, capsys, monkeypatch).only("dequantize")
    assert mark == "✗" and text.startswith(f"experts[1].model: {green}: FP8 and mxfp4 can be")
    assert run_main(recipe, "--out", tmp_path / "run") == 2
    assert capsys.readouterr().err == f"error: {recipe}: {text}\n"


def test_nothing_is_done_for_models_that_are_plain(
    family: Family,
    recipe_of: Callable[[Family], Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = plan(recipe_of(family), capsys, monkeypatch)
    assert found.code == 0 and found["dequantize"] == []
    assert not (tmp_path / "cache" / "dequantized").exists()
