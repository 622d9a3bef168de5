"""What the engine in vLLM rests on, without vLLM: fed tensors, their digests, and refusals."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import open_expert
from mergekit_cycleqd.engines.fingerprint import tensor_digest
from mergekit_cycleqd.engines.open import engine_faults
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.engines.vllm.swap_check import SwapCheck, SwapReport, check_reach
from mergekit_cycleqd.engines.vllm.worker import FILL, GenomeTensors
from mergekit_cycleqd.errors import ModelError, RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate, mutate_own
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.load import load_recipe
from tests.support.families import adapted_family, make_family, mixture
from tests.support.recipes import RecipeMaker

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")  # peft's, about transformers

CPU = torch.device("cpu")


def in_bfloat16(folder: Path) -> Family:
    return make_family(folder, dtype=torch.bfloat16)


def adapted(folder: Path) -> Family:
    return adapted_family(make_family(folder, tied=False), folder)


def merges(family: Family, dtype: str) -> GenomeTensors:
    checkpoints = list(map(open_expert, (family.base_model, *family.experts)))
    sent = {
        "models": [checkpoint.name for checkpoint in checkpoints],
        "fingerprints": [checkpoint.fingerprint() for checkpoint in checkpoints],
        "dtype": dtype,
        "trust_remote_code": False,
    }
    return GenomeTensors(sent, CPU)


def bred(family: Family) -> list[Genome]:
    merge = Genome(family, (0.4, -0.2, 0.7))
    mutant = mutate(mutate(merge, Term(1, 81723, 0.3)), Term(None, 5, 0.02))
    return [Genome.from_base(family), merge, mutant, mutate_own(merge, 7, 0.2), merge]


@pytest.mark.costly
@pytest.mark.parametrize(
    ("make", "dtype"), [(make_family, "float32"), (in_bfloat16, "bfloat16"), (adapted, "float32")]
)
def test_what_is_fed_is_what_a_resident_model_holds_to_the_bit(
    make: Callable[[Path], Family], dtype: str, tmp_path: Path
) -> None:
    family = make(tmp_path)
    base, *experts = map(open_expert, (family.base_model, *family.experts))
    model = AutoModelForCausalLM.from_pretrained(family.base_model, dtype=dtype)
    resident = ResidentModel(model, base, experts, DirectionCache.default())
    fed_by = merges(family, dtype)
    for genome in bred(family):
        resident.load(genome)
        held = model.state_dict()
        fed = dict(fed_by.tensors(genome))
        assert set(fed) == set(base.headers)
        for name, tensor in fed.items():
            assert tensor.dtype == held[name].dtype and torch.equal(tensor, held[name]), name


@pytest.mark.costly
def test_what_transformers_fuses_is_fed_as_it_is_stored(tmp_path: Path) -> None:
    family = mixture(tmp_path)
    fed_by = merges(family, "float32")
    for genome, folder in (
        (Genome.from_base(family), family.base_model),
        (Genome.from_expert(family, 1), family.experts[1]),
    ):
        stored = load_file(Path(folder) / "model.safetensors")
        fed = dict(fed_by.tensors(genome))
        assert set(fed) == set(stored)
        assert all(torch.equal(fed[name], tensor) for name, tensor in stored.items())
    assert all((tensor == FILL).all() for _, tensor in fed_by.filled())


@pytest.mark.costly
def test_weights_that_changed_since_the_run_began_are_refused(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    sent = {
        "models": [family.base_model, *family.experts],
        "fingerprints": [Checkpoint.open(family.base_model).fingerprint()] * 4,
        "dtype": "float32",
        "trust_remote_code": False,
    }
    with pytest.raises(
        ModelError, match=r"red: a worker of vLLM finds other weights in .*red than"
    ):
        GenomeTensors(sent, CPU)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int8])
@pytest.mark.parametrize("shape", [(), (1,), (7,), (5, 3), (4, 8), (2, 3, 5)], ids=str)
def test_any_number_that_changes_changes_the_digest(
    dtype: torch.dtype, shape: tuple[int, ...]
) -> None:
    tensor = torch.arange(1, 1 + torch.Size(shape).numel()).reshape(shape).to(dtype)
    for i in range(tensor.numel()):
        changed = tensor.clone()
        changed.view(-1)[i] += 1
        assert tensor_digest(changed) != tensor_digest(tensor)
    assert tensor_digest(tensor.clone()) == tensor_digest(tensor)
    if tensor.ndim > 1:
        assert tensor_digest(tensor.flip(0)) != tensor_digest(tensor), "the order of rows counts"


def report(fed: str, loaded: str) -> SwapReport:
    """Of three tensors a, b and c, and two parameters, of which one is made of a and b."""
    return SwapReport(
        dict(zip("abc", fed, strict=True)), dict(zip(("ab", "c"), loaded, strict=True))
    )


def test_swaps_that_do_what_they_should_pass() -> None:
    check = SwapCheck([report("111", "11"), report("111", "55")])
    for fed, first, second in (
        ("222", "22", "66"),
        ("222", "22", "66"),  # the same again
        ("322", "32", "76"),  # one tensor of three
        ("111", "11", "55"),  # back again
        ("444", "44", "58"),  # of the first tensor, the second worker's part is as it was
    ):
        assert check.fault([report(fed, first), report(fed, second)]) is None


@pytest.mark.parametrize(
    ("reports", "fault"),
    [
        ([("222", "22"), ("223", "66")], "the workers merged different weights"),
        ([("222", "22"), ("222", "55")], "worker 1 still holds the weights of another model"),
        ([("222", "21"), ("222", "65")], "c kept the weights of the last model"),
        (
            [("111", "12"), ("111", "55")],
            "worker 0 holds other weights than when the same were fed",
        ),
        ([("555", "44"), ("555", "66")], "worker 0 still holds the weights of another model"),
    ],
)
def test_stale_weights_are_seen(reports: list[tuple[str, str]], fault: str) -> None:
    check = SwapCheck([report("333", "33"), report("333", "77")])
    assert check.fault([report("444", "44"), report("444", "88")]) is None
    assert check.fault([report("111", "11"), report("111", "55")]) is None
    found = check.fault([report(*each) for each in reports])
    assert found is not None and found.startswith(fault)
    assert check.fault([report("222", "22"), report("222", "66")]) is None, "the next may be right"


def test_a_part_that_stays_behind_when_only_some_tensors_change_is_seen_the_second_time() -> None:
    check = SwapCheck([report("111", "11")])
    assert check.fault([report("211", "21")]) is None
    assert check.fault([report("311", "31")]) is None
    assert check.fault([report("212", "22")]) is None
    assert check.fault([report("313", "23")]) == "ab kept the weights of the last model"
    assert check.fault([report("312", "33")]) == (
        "c changed, which did not when the same tensors did before"
    )


def test_a_tensor_that_was_not_fed_is_seen() -> None:
    check = SwapCheck([report("111", "11")])
    some = SwapReport({"a": "2", "b": "2"}, {"ab": "2", "c": "2"})
    assert check.fault([some]) == "worker 0 was not fed all tensors"


def test_a_model_that_cannot_be_fed_is_refused_by_its_parameters() -> None:
    own = {"ab": "1", "c": "2"}
    base = report("111", "12")
    check_reach([own], [{"ab": "8", "c": "9"}], [base])
    with pytest.raises(ModelError, match="weights that are fed do not reach c; use kind: hf"):
        check_reach([own], [{"ab": "8", "c": "2"}], [base])
    with pytest.raises(ModelError, match="arrive otherwise than from its folder in ab; use"):
        check_reach([own], [{"ab": "8", "c": "9"}], [report("111", "32")])


def vllm(monkeypatch: pytest.MonkeyPatch, folder: Path, source: str) -> None:
    """A package of that name in the place of whatever is installed."""
    for module in [name for name in sys.modules if name.partition(".")[0] == "vllm"]:
        monkeypatch.delitem(sys.modules, module)
    runner = folder / "vllm" / "v1" / "worker" / "gpu_model_runner.py"
    runner.parent.mkdir(parents=True)
    runner.write_text(source)
    (folder / "vllm" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(str(folder))


OLD = "def reload_weights(self) -> None:\n    weights_iterator = 0\n"
NEW = "def reload_weights(\n    self,\n    weights_iterator=None,\n): 0\n"


def test_a_missing_or_an_old_vllm_is_said_at_start_with_the_way_to_mend_it(
    make_named_recipe: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(kind="vllm")
    mend = "pip install 'mergekit-cycleqd[vllm]'"
    with monkeypatch.context() as patched:
        patched.setattr("importlib.util.find_spec", lambda name: None)
        (missing,) = engine_faults(engine)
    assert missing.startswith("engine.kind: vllm needs vLLM 0.20 or newer, which is not installed")
    assert mend in missing
    vllm(monkeypatch, tmp_path, OLD)
    (old,) = engine_faults(engine)
    assert (
        old.startswith("engine.kind: vllm needs vLLM 0.20 or newer, and the one in ")
        and mend in old
    )
    (tmp_path / "vllm" / "v1" / "worker" / "gpu_model_runner.py").write_text(NEW)
    assert engine_faults(engine) == []
    (elsewhere,) = engine_faults(Engine(kind="vllm", device="cuda:1"))
    assert elsewhere.startswith("engine.device: must be auto for kind: vllm")


@pytest.mark.parametrize(
    ("engine", "fault"),
    [
        ({"kind": "hf", "tensor_parallel_size": 2}, "tensor_parallel_size: is for kind: vllm"),
        ({"options": {"max_model_len": 64}}, "options: is for kind: vllm"),
        ({"kind": "vllm", "batching": "padded"}, "vLLM always batches continuously"),
        ({"kind": "vision", "trust_remote_code": True}, "vision runs code of transformers"),
        ({"kind": "vllm", "tensor_parallel_size": 0}, "engine.tensor_parallel_size"),
    ],
)
def test_what_is_of_another_engine_is_refused(
    engine: dict[str, Any], fault: str, make_named_recipe: RecipeMaker
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["engine"] = engine

    with pytest.raises(RecipeError, match=f"engine.*{fault}"):
        load_recipe(make_named_recipe(change))
