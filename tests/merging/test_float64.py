"""What needs float64 is computed on the CPU where the device has none, and nothing else is."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.family_tensors import FamilyTensors
from mergekit_cycleqd.checkpoints.tensor_difference import TensorDifference
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.device import device_of
from mergekit_cycleqd.engines.fingerprint import row_sums
from mergekit_cycleqd.engines.vllm.worker import GenomeTensors
from mergekit_cycleqd.experts.measure_similarity import measure
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import float64
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.inner_product import inner_product
from mergekit_cycleqd.recipe.engine import Engine
from tests.support.families import COLOURS, adapted_family
from tests.support.merges import bred
from tests.support.no_float64 import DEVICE, Pretended, pretended_device
from tests.support.repeated_values import orthogonal_adapter

pytestmark = [pytest.mark.costly, pytest.mark.filterwarnings("ignore::FutureWarning")]


def of_kind(family: Family, kind: str, number: float) -> Family:
    return replace(family, task_vectors=TaskVectors(kind, number))


WEIGHTS = (0.5, 0.4, -0.1)
GENOMES: dict[str, Callable[[Family], Genome]] = {
    "plain": bred,
    "few directions": lambda family: bred(replace(family, rank=2)),
    "singular": lambda family: bred(of_kind(family, "tsv", 1 / 3)),
    "without interference": lambda family: bred(of_kind(family, "wudi", 0.1)),
    "noise": lambda family: Genome(family, (0.5, 0.0, 0.2), (Term(None, 3, 0.01),)),
    "its own directions": lambda family: mutate_own(Genome(family, WEIGHTS), 7, 0.3),
    "its own, without interference": lambda family: mutate_own(
        mutate_own(Genome(of_kind(family, "wudi", 0.1), WEIGHTS), 7, 0.3), 8, 0.2
    ),
}


def merged(family: Family, genome: Genome, device: torch.device) -> dict[str, Tensor]:
    base, experts = open_family(family)
    sent = {
        "models": [family.base_model, *family.experts],
        "tokenizer": None,
        "fingerprints": [model.fingerprint() for model in (base, *experts)],
        "dtype": "float32",
        "trust_remote_code": False,
    }
    tensors = GenomeTensors(sent, device)
    list(tensors.tensors(genome))  # which keeps directions and task vectors for the next
    return {name: tensor.cpu() for name, tensor in tensors.tensors(genome)}


@pytest.fixture(scope="module")
def families(family: Family, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Family]:
    folder = tmp_path_factory.mktemp("families")
    equal = orthogonal_adapter(family.base_model, folder / "equal", 1)
    adapted = adapted_family(family, folder)
    repeated = (f"{family.base_model}+{equal}", *family.experts[1:])
    return {
        "full": family,
        "adapters": adapted,
        "repeated values": replace(family, experts=repeated),
    }


@pytest.mark.parametrize("kind", GENOMES)
@pytest.mark.parametrize("of", ["full", "adapters", "repeated values"])
def test_a_device_without_float64_gives_the_same_models(
    of: str, kind: str, families: dict[str, Family]
) -> None:
    family = families[of]
    genome = GENOMES[kind](family)
    expected = merged(family, genome, torch.device("cpu"))
    with pretended_device() as device:
        found = merged(family, genome, device)
    assert found.keys() == expected.keys()
    for name, tensor in found.items():
        torch.testing.assert_close(tensor, expected[name], rtol=0, atol=3e-7, msg=name)


def test_experts_are_compared_there(families: dict[str, Family], tmp_path: Path) -> None:
    base, experts = open_family(families["full"])
    cache = DirectionCache(tmp_path)

    def compared(device: torch.device) -> list[float | None]:
        reading = FamilyTensors(base, experts, False)
        found = measure(reading, COLOURS, cache, device, lacking="forget")
        assert found is not None
        return [n for pair in found.pairs for n in (pair.values, pair.vectors, pair.overlap)]

    expected = compared(torch.device("cpu"))
    with pretended_device() as device:
        assert compared(device) == pytest.approx(expected, abs=1e-6)


def test_checksums_products_and_differences_work_there() -> None:
    torch.manual_seed(0)
    tensors = [torch.randn(6, 4) for _ in range(3)]
    expected = row_sums(tensors[0])
    product = float(inner_product(*tensors))
    difference = TensorDifference.of("w", *tensors)
    with torch.no_grad(), pretended_device() as device:
        there = [tensor.to(device) for tensor in tensors]
        assert all(isinstance(tensor, Pretended) for tensor in there)
        assert row_sums(there[0]) == expected
        assert float(inner_product(*there)) == pytest.approx(product, abs=1e-5)
        assert TensorDifference.of("w", *there) == difference


def test_the_pretended_device_is_as_strict_as_apples() -> None:
    with torch.no_grad(), pretended_device() as device:
        tensor = torch.ones(2, 2).to(device)
        for use in (
            lambda: tensor.double(),
            lambda: torch.zeros(2, dtype=torch.float64, device=device),
            lambda: tensor.sum(dtype=torch.float64),
        ):
            with pytest.raises(TypeError, match="float64"):
                use()
        with pytest.raises(NotImplementedError, match="linalg_eigh is not implemented"):
            torch.linalg.eigh(tensor)
        with pytest.raises(RuntimeError, match="on the same device"):
            tensor + torch.ones(2, 2)
    assert {"mps"} == float64.LACKING and DEVICE.type not in float64.LACKING


def test_auto_takes_a_gpu_of_apple(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert device_of(Engine()).type == "mps" and device_of(Engine(device="mps")).type == "mps"
    assert device_of(Engine(device="cpu")).type == "cpu"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert device_of(Engine()).type == "cuda"
