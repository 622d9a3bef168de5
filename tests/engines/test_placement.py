"""Where tensors are kept that a GPU has no room for, and how they come to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import dispatch_model
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines import placement
from mergekit_cycleqd.engines.placement import (
    FOR_BATCHES,
    TensorStore,
    prefetch,
    room_beside_batches,
)
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.direction_cache import DirectionCache

CPU, META = torch.device("cpu"), torch.device("meta")


def test_what_has_no_room_on_its_device_is_kept_in_main_memory() -> None:
    room = 100
    home = TensorStore(lambda device: room)
    first = home.keep(torch.ones(20), META)
    assert first.device == META
    assert not home.full
    room = 20
    second = home.keep(torch.arange(20.0), META)
    assert second.device == CPU
    assert home.full
    assert torch.equal(second, torch.arange(20.0))
    assert home.keep(torch.ones(5), META).device == META
    assert home.keep(first, META) is first  # it takes no more than it has


def test_main_memory_is_taken_in_pieces_that_hold_many_tensors(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(placement, "PIECE", 2048)
    home = TensorStore(lambda device: -1.0)
    tensors = [torch.rand(n).to(torch.bfloat16) for n in (3, 256, 700, 1, 1500, 200)]
    tensors += [torch.rand(2, 3, 5, dtype=torch.float64), torch.tensor(2.5), torch.empty(0)]
    kept = [home.keep(tensor, META) for tensor in tensors]
    for tensor, copy in zip(tensors, kept, strict=True):
        assert torch.equal(tensor, copy)
        assert copy.is_contiguous()
        assert copy.data_ptr() % 64 == 0
    pieces = {copy.untyped_storage().data_ptr(): copy.untyped_storage().nbytes() for copy in kept}
    assert sorted(pieces.values()) == [2048, 2048, 2048, 4096]


def test_main_memory_has_no_end() -> None:
    home = TensorStore(room_beside_batches)
    tensor = torch.ones(3)
    assert home.keep(tensor, CPU) is tensor
    assert not home.full


def test_one_tensor_more_than_is_worked_on_is_on_its_way() -> None:
    began: list[int] = []

    def on_device(each: int) -> int:
        began.append(each)
        return -each

    def seen() -> Iterator[tuple[int, int, list[int]]]:
        for each, there in prefetch([1, 2, 3], on_device, lambda each: None):
            yield each, there, list(began)

    assert list(seen()) == [(1, -1, [1, 2]), (2, -2, [1, 2, 3]), (3, -3, [1, 2, 3])]
    assert list(prefetch([], on_device, lambda each: None)) == []


def resident(family: Family, folder: Path, room: Callable[[torch.device], float]) -> ResidentModel:
    """A model on the GPU, with so much room beside it."""
    model = AutoModelForCausalLM.from_pretrained(family.base_model, dtype=torch.bfloat16).cuda()
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    return ResidentModel(model, base, experts, DirectionCache(folder), room)


@pytest.mark.gpu
@pytest.mark.parametrize("room", [-1.0, 5e4])
def test_a_gpu_without_room_makes_the_same_models(
    family: Family, tmp_path: Path, room: float
) -> None:
    plenty = resident(family, tmp_path, room_beside_batches)
    none = resident(family, tmp_path, lambda device: room)
    terms = (Term(None, 1, 0.01), *(Term(k, 10 + k, 0.3) for k in range(3)))
    apart = Family(family.base_model, family.experts, task_vectors=TaskVectors("tsv", 1 / 3))
    genomes = [
        Genome(family, (0.4, 0.0, 0.2), terms),
        Genome(family, (0.0, 1.0, 0.0)),
        Genome(apart, (1.0, 0.5, 0.7)),
        mutate_own(Genome(family, (0.5, 0.2, 0.3)), 5, 0.3),
        Genome(family, (0.4, 0.1, 0.2), terms[1:]),  # with directions that are there by now
    ]
    found: dict[bool, list[str]] = {True: [], False: []}
    for genome in genomes:
        for model in (plenty, none):
            model.load(genome)
            found[model is plenty].append(model.checksum())
    assert found[True] == found[False]
    assert len(set(found[True])) == len(genomes)


@pytest.mark.gpu
@pytest.mark.parametrize("room", [-1.0, 5e4, 1e9])
def test_tensors_one_by_one_are_those_of_a_loaded_model(
    family: Family, tmp_path: Path, room: float
) -> None:
    loaded = resident(family, tmp_path, room_beside_batches)
    with torch.device("meta"):
        layout = AutoModelForCausalLM.from_config(loaded.model.config, dtype=torch.bfloat16)
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    gpu = torch.device("cuda", 0)
    apart = ResidentModel(
        layout, base, experts, DirectionCache(tmp_path), lambda device: room, device=gpu
    )
    terms = tuple(Term(k, 10 + k, 0.3) for k in range(3))
    for genome in (Genome(family, (0.4, 0.1, 0.2), terms), Genome(family, (0.0, 1.0, 0.0))):
        loaded.load(genome)
        expected = dict(loaded.model.named_parameters())
        found = dict(apart.tensors(genome))
        assert all(torch.equal(found[name], expected[name]) for name in found)
        assert {tensor.device for tensor in found.values()} == {gpu}
        assert len(found) == len(expected)


@pytest.mark.gpu
def test_a_model_on_several_devices_is_that_of_one(family: Family, tmp_path: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(family.base_model, dtype=torch.float32)
    on_gpu = ["model.embed_tokens", "model.rotary_emb", "model.layers.0", "lm_head"]
    parts = dict.fromkeys(on_gpu, 0) | {"model.layers.1": "cpu", "model.norm": "cpu"}
    spread = dispatch_model(model, parts, main_device="cpu")
    assert {parameter.device.type for parameter in spread.parameters()} == {"cuda", "cpu"}
    whole = AutoModelForCausalLM.from_pretrained(family.base_model, dtype=torch.float32)
    base, *experts = map(Checkpoint.open, (family.base_model, *family.experts))
    cache = DirectionCache(tmp_path)
    several, one = (ResidentModel(each, base, experts, cache) for each in (spread, whole))
    genome = Genome(family, (0.4, 0.3, 0.2), tuple(Term(k, 10 + k, 0.3) for k in range(3)))
    for resident in (several, one):
        resident.load(genome)
    loaded = dict(whole.named_parameters())
    for name, parameter in spread.named_parameters():
        torch.testing.assert_close(parameter.cpu(), loaded[name], rtol=1e-4, atol=1e-5)
    ids = torch.tensor([[5, 9, 13, 4]])
    with torch.no_grad():
        logits = [each(ids.to(each.device)).logits.cpu() for each in (spread, whole)]
    torch.testing.assert_close(*logits, rtol=1e-3, atol=1e-3)


@pytest.mark.gpu
def test_a_gpu_keeps_a_share_for_batches() -> None:
    device = torch.device("cuda")
    free, total = torch.cuda.mem_get_info(device)
    assert room_beside_batches(device) <= free - FOR_BATCHES * total + 2**28
    before = room_beside_batches(device)
    kept = torch.empty(2**28, dtype=torch.uint8, device=device)
    assert before - room_beside_batches(device) >= kept.nbytes // 2
