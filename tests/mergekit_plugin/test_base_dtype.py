"""A recipe without a dtype makes a model of the base's, on disk as in a search."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.verify import verify_model
from tests.support.families import make_adapter
from tests.support.merges import Weights, bred, in_place
from tests.support.runs import run_main

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

HALF, BRAIN, FULL = torch.float16, torch.bfloat16, torch.float32


def cast(model: Path, dtype: torch.dtype, only: str = "") -> None:
    """Store the tensors with a word in their name in another dtype."""
    file = model / "model.safetensors"
    tensors = {n: t.to(dtype) if only in n else t for n, t in load_file(file).items()}
    save_file(tensors, file, metadata={"format": "pt"})
    if not only:
        state(model, str(dtype).removeprefix("torch."))


def state(model: Path, dtype: str | None) -> None:
    """Let config.json say a dtype, or nothing of it."""
    config = json.loads((model / "config.json").read_text())
    config.pop("dtype", None)
    config |= {"dtype": dtype} if dtype else {}
    (model / "config.json").write_text(json.dumps(config))


def stated(model: Path) -> str | None:
    dtype: str | None = json.loads((model / "config.json").read_text()).get("dtype")
    return dtype


@pytest.fixture
def of(family: Family, tmp_path: Path) -> Callable[[torch.dtype, torch.dtype], Family]:
    """Makes a family of a base in one dtype and experts in another."""

    def make(base: torch.dtype, experts: torch.dtype) -> Family:
        models = [family.base_model, *family.experts]
        copies = [Path(shutil.copytree(model, tmp_path / Path(model).name)) for model in models]
        for model in copies:
            cast(model, base if model is copies[0] else experts)
        return Family(str(copies[0]), tuple(map(str, copies[1:])))

    return make


def merged(genome: Genome, tmp_path: Path, **change: object) -> tuple[Path, Weights]:
    recipe, out = tmp_path / "model.yaml", tmp_path / "out"
    recipe.write_text(yaml.safe_dump(genome.to_recipe() | change))
    assert run_main("merge", recipe, out, "--quiet") == 0
    return out, load_file(out / "model.safetensors")


def dtypes(weights: Weights) -> set[torch.dtype]:
    return {tensor.dtype for tensor in weights.values()}


PAIRS = [(HALF, BRAIN), (BRAIN, FULL), (BRAIN, HALF), (FULL, BRAIN), (HALF, HALF), (BRAIN, BRAIN)]


@pytest.mark.parametrize(("base", "experts"), PAIRS, ids=str)
def test_weights_config_and_search_agree(
    base: torch.dtype,
    experts: torch.dtype,
    of: Callable[..., Family],
    tmp_path: Path,
) -> None:
    genome = Genome(of(base, experts), (0.7, 0.2, -0.3))
    out, weights = merged(genome, tmp_path)
    assert dtypes(weights) == {base}
    assert stated(out) == str(base).removeprefix("torch.")
    searched = in_place(genome, tmp_path)
    assert dtypes(searched) == {base}
    for name, tensor in weights.items():
        assert torch.equal(tensor, searched[name]), name
    assert AutoModelForCausalLM.from_pretrained(out).dtype == base
    verify_model(out, genome)


def test_sums_are_made_of_the_experts_as_they_are_stored(
    of: Callable[..., Family], tmp_path: Path
) -> None:
    """And not of what the base's dtype would leave of them."""
    family = of(BRAIN, FULL)
    _, weights = merged(Genome(family, (0.7, 0.2, -0.3)), tmp_path)
    base, *experts = (
        load_file(Path(m) / "model.safetensors") for m in (family.base_model, *family.experts)
    )
    for name, tensor in weights.items():
        start = base[name].double()
        taus = [expert[name].double() - start for expert in experts]
        exact = start + sum(w * tau for w, tau in zip((0.7, 0.2, -0.3), taus, strict=True))
        assert (
            torch.equal(tensor, exact.float().to(BRAIN))
            or ((tensor.double() - exact).abs() <= 2.0**-8 * exact.abs() + 1e-6).all()
        ), name


def test_a_mutated_model_passes_its_verification(of: Callable[..., Family], tmp_path: Path) -> None:
    genome = bred(of(BRAIN, FULL))
    out, _ = merged(genome, tmp_path)
    verify_model(out, genome)


@pytest.mark.parametrize("experts", [FULL, HALF, BRAIN], ids=str)
def test_a_base_in_several_dtypes_keeps_each(
    experts: torch.dtype, of: Callable[..., Family], tmp_path: Path
) -> None:
    family = of(BRAIN, experts)
    cast(Path(family.base_model), FULL, "norm")
    genome = Genome(family, (0.7, 0.2, -0.3))
    out, weights = merged(genome, tmp_path)
    for name, tensor in weights.items():
        assert tensor.dtype == (FULL if "norm" in name else BRAIN), name
    assert stated(out) == "bfloat16"
    searched = in_place(genome, tmp_path)
    assert dtypes(searched) == {BRAIN}, "as transformers loads the base"
    for name, tensor in AutoModelForCausalLM.from_pretrained(out).state_dict().items():
        assert torch.equal(tensor, searched.get(name, tensor)), name
    verify_model(out, genome)


def test_the_index_of_several_files_knows_what_they_hold(
    of: Callable[..., Family], tmp_path: Path
) -> None:
    family = of(BRAIN, FULL)
    cast(Path(family.base_model), FULL, "norm")
    recipe, out = tmp_path / "model.yaml", tmp_path / "out"
    recipe.write_text(Genome.uniform(family).to_yaml())
    assert run_main("merge", recipe, out, "--quiet", "--out-shard-size", "5K") == 0
    index = json.loads((out / "model.safetensors.index.json").read_text())
    tensors = [t for file in out.glob("*.safetensors") for t in load_file(file).values()]
    assert len(list(out.glob("*.safetensors"))) > 1
    assert index["metadata"]["total_size"] == sum(tensor.nbytes for tensor in tensors)


@pytest.mark.parametrize("base", [HALF, BRAIN, FULL], ids=str)
@pytest.mark.parametrize("says", ["what it is", "nothing"])
def test_adapters_leave_the_dtype_to_the_base(
    says: str, base: torch.dtype, of: Callable[..., Family], tmp_path: Path
) -> None:
    family = of(base, FULL)
    adapter = make_adapter(family.base_model, tmp_path / "adapter")
    if says == "nothing":
        state(Path(family.base_model), None)
    experts = (f"{family.base_model}+{adapter}", *family.experts[1:])
    genome = Genome(replace(family, experts=experts), (0.7, 0.2, -0.3))
    out, weights = merged(genome, tmp_path)
    assert dtypes(weights) == {base}
    assert AutoModelForCausalLM.from_pretrained(out).dtype == base
    assert stated(out) in (str(base).removeprefix("torch."), None if says == "nothing" else "")
    verify_model(out, genome)


def test_a_config_that_says_another_dtype_than_the_base_has_is_kept(
    of: Callable[..., Family], tmp_path: Path
) -> None:
    family = of(FULL, BRAIN)
    state(Path(family.base_model), "float16")
    genome = Genome(family, (0.7, 0.2, -0.3))
    out, weights = merged(genome, tmp_path)
    assert dtypes(weights) == {FULL} and stated(out) == "float16"
    searched = in_place(genome, tmp_path)
    assert dtypes(searched) == {HALF}
    loaded = AutoModelForCausalLM.from_pretrained(out)
    for name, tensor in loaded.named_parameters():
        assert torch.equal(tensor, searched[name]), name


@pytest.mark.parametrize(
    ("change", "dtype"),
    [
        ({"dtype": "float32"}, FULL),
        ({"dtype": "float32", "out_dtype": "bfloat16"}, BRAIN),
        ({"out_dtype": "float32"}, FULL),
    ],
    ids=str,
)
def test_a_dtype_in_the_recipe_counts(
    change: dict[str, str], dtype: torch.dtype, of: Callable[..., Family], tmp_path: Path
) -> None:
    genome = Genome(of(HALF, BRAIN), (0.7, 0.2, -0.3))
    out, weights = merged(genome, tmp_path, **change)
    assert dtypes(weights) == {dtype} and stated(out) == str(dtype).removeprefix("torch.")
    verify_model(out, Genome(replace(genome.family, **change), genome.weights))


def test_mergekits_own_methods_leave_it_to_the_base_too(
    of: Callable[..., Family], tmp_path: Path
) -> None:
    family = of(HALF, BRAIN)
    models = [{"model": m, "parameters": {"weight": 0.5, "density": 0.5}} for m in family.experts]
    recipe = {"merge_method": "ties", "base_model": family.base_model, "models": models}
    (tmp_path / "ties.yaml").write_text(yaml.safe_dump(recipe))
    assert run_main("merge", tmp_path / "ties.yaml", tmp_path / "out", "--quiet") == 0
    assert dtypes(load_file(tmp_path / "out" / "model.safetensors")) == {HALF}
    assert stated(tmp_path / "out") == "float16"
