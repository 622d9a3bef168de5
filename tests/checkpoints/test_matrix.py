"""Models of many architectures are the same in memory, merged, verified and loaded from disk."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from tests.support.model_matrix import NO_ADAPTERS, Ways, genome_of, row, table_rows
from tests.support.model_zoo import RENAMED_ON_LOADING, ZOO

pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore"),  # of transformers and peft, about tiny models
]

EVERYDAY = {
    "Llama, tied",
    "GPT-2",
    "Mixtral",
    "Cohere",
    "DeepSeek-V3",
    "LFM2",
    "BERT",
    "T5",
    "ViT",
    "SegFormer",
    "Gemma 3",
    "Qwen2.5-VL",
}
"""Models that are tried in every form by default. `make test-slow` tries all others."""


MIXED_EVERYDAY = {"Llama, tied", "GPT-2", "Mixtral", "DeepSeek-V3", "T5", "ViT"}


def mostly_slow(names: Iterable[str], everyday: Collection[str] = EVERYDAY) -> list[Any]:
    return [
        pytest.param(name, marks=() if name in everyday else pytest.mark.slow) for name in names
    ]


def assert_equal(found: Any, expected: Any, **tolerance: float) -> None:
    theirs = expected.state_dict()
    for name, tensor in found.state_dict().items():
        assert tensor.dtype == theirs[name].dtype, name
        assert torch.allclose(tensor, theirs[name], **tolerance), name


@pytest.mark.parametrize("name", ZOO)
def test_full_fine_tunes_of(name: str, tmp_path: Path) -> None:
    ways = Ways.of(name, tmp_path)
    model, resident = ways.in_memory()
    resident.load(Genome(ways.family, (0.6, 0.3)))
    for key, expected in ways.by_arithmetic((0.6, 0.3)).items():
        assert torch.allclose(model.state_dict()[key].double(), expected, atol=1e-5), key
    resident.load(genome_of(ways.family))
    merged, said = ways.merged(genome_of(ways.family))
    assert_equal(model, merged, rtol=1e-5, atol=3e-6)
    assert row(name, ways, said) in table_rows()


@pytest.mark.parametrize("name", mostly_slow(ZOO))
def test_task_vectors_without_interference_with_weights_by_tensor_of(
    name: str, tmp_path: Path
) -> None:
    ways = Ways.of(name, tmp_path)
    family = replace(ways.family, task_vectors=TaskVectors("wudi", 0.1))
    model, resident = ways.in_memory()
    copies = resident.layout.copies()
    names = sorted({*resident.layout.names, *copies}, key=lambda each: (-len(each), each))
    rng = np.random.default_rng(0)
    drawn = {each: tuple(rng.uniform(0.3, 1.2, size=2)) for each in resident.layout.names}
    groups = TensorGroups(tuple(names), tuple(drawn[copies.get(each, each)] for each in names))
    genome = replace(genome_of(family), groups=groups)
    resident.load(genome)
    merged, _ = ways.merged(genome)
    assert_equal(model, merged, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("name", mostly_slow(sorted(ZOO.keys() - NO_ADAPTERS.keys())))
def test_adapters_of(name: str, tmp_path: Path) -> None:
    ways, expected = Ways.of(name, tmp_path, max_shard_size="20KB").with_adapter()
    model, resident = ways.in_memory()
    resident.load(Genome(ways.family, (1.0, 0.0)))
    for key, tensor in model.state_dict().items():
        assert torch.allclose(tensor, expected[key], atol=1e-5), key
    resident.load(genome_of(ways.family))
    merged, _ = ways.merged(genome_of(ways.family))
    assert_equal(model, merged, rtol=1e-5, atol=3e-6)


@pytest.mark.parametrize("name", mostly_slow(RENAMED_ON_LOADING))
def test_sixteen_bits_in_shards_under_the_names_in_memory_of(name: str, tmp_path: Path) -> None:
    ways = Ways.of(
        name, tmp_path, dtype=torch.bfloat16, max_shard_size="20KB", save_original_format=False
    )
    assert_one_step_of_bfloat16(ways)


@pytest.mark.parametrize("name", mostly_slow(ZOO, MIXED_EVERYDAY))
def test_vectors_and_routers_in_float32_beside_sixteen_bits_of(name: str, tmp_path: Path) -> None:
    ways = Ways.of(name, tmp_path, dtype=torch.bfloat16, mixed=True)
    assert_one_step_of_bfloat16(ways)
    base, out = (Checkpoint.open(str(tmp_path / model)).headers for model in ("base", "out"))
    assert {header.dtype for header in base.values()} >= {"F32", "BF16"}
    for key in base.keys() & out.keys():
        assert out[key].dtype == base[key].dtype, key


def assert_one_step_of_bfloat16(ways: Ways) -> tuple[Any, Any]:
    """Compare a model in memory with the merged one, both of 16 bits, and give both."""
    model, resident = ways.in_memory()
    start = {key: tensor.clone() for key, tensor in model.state_dict().items()}
    resident.load(genome_of(ways.family))
    merged, _ = ways.merged(genome_of(ways.family))
    for key, tensor in merged.state_dict().items():
        found, change = model.state_dict()[key], (tensor - start[key]).abs().max()
        assert found.dtype == tensor.dtype, key
        # One step of bfloat16, and the rounding of directions that are kept in bfloat16.
        assert torch.allclose(found, tensor, rtol=2**-7, atol=2**-8 * float(change)), key
    return model, merged
