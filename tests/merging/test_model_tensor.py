"""One assembly of a tensor: the resident model, the merge method and a push's check are equal."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.genome_tensors import genome_tensor
from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome import task_vectors as known
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import task_vectors as made
from mergekit_cycleqd.run_folder.record import Record
from tests.support.merges import bred, by_mergekit, in_place

GENOMES = {
    "plain": lambda family: bred(family),
    "few directions": lambda family: bred(replace(family, rank=2)),
    "most of the energy": lambda family: bred(replace(family, energy=0.8)),
    "singular": lambda family: bred(replace(family, task_vectors=TaskVectors("tsv", 1 / 3))),
    "without interference": lambda family: bred(
        replace(family, task_vectors=TaskVectors("wudi", 0.1))
    ),
    "the directions of a child without interference": lambda family: mutate_own(
        Genome(replace(family, task_vectors=TaskVectors("wudi", 0.1)), (0.5, 0.4, -0.1)), 7, 0.3
    ),
    "weights by groups of tensors": lambda family: replace(
        bred(family),
        groups=TensorGroups(("mlp", "layers.1."), ((0.9, 0.1, 0.0), (0.0, 0.0, 1.3))),
    ),
    "noise": lambda family: Genome(family, (0.5, 0.0, 0.2), (Term(None, 3, 0.01),)),
    "its own directions": lambda family: mutate_own(Genome(family, (0.5, 0.4, -0.1)), 7, 0.3),
}


def verified(genome: Genome) -> dict[str, Tensor]:
    """Every tensor of a genome's model as the check of a push computes it."""
    base = Checkpoint.open(genome.family.base_model)
    experts = [Checkpoint.open(expert).tensor for expert in genome.family.experts]
    return {name: genome_tensor(name, genome, base.tensor(name), experts) for name in base.headers}


@pytest.mark.parametrize("kind", GENOMES)
def test_every_way_to_a_model_gives_the_same_bits(
    kind: str, family: Family, tmp_path: Path
) -> None:
    genome = GENOMES[kind](family)
    resident = in_place(genome, tmp_path)
    merged = by_mergekit(genome.to_mergekit(), tmp_path / "merged")
    checked = verified(genome)
    assert resident.keys() == merged.keys() == checked.keys()
    for name, tensor in resident.items():
        assert torch.equal(tensor, merged[name]), name
        assert torch.equal(tensor, checked[name]), name


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> str:
    """A kind of task vectors that a developer might add: a share of each expert's own."""

    def transform(_: str, base: Tensor, experts: Any, share: float, basis: Any) -> Any:
        return [None if own is None else base + share * (own - base) for own in experts]

    monkeypatch.setitem(
        known.KINDS,  # type: ignore[arg-type]
        "halves",
        known.TaskVectorKind(
            tag=-9, number="share", largest=1.0, of_directions=False, title="halves", short="halves"
        ),
    )
    monkeypatch.setitem(
        made.KINDS,  # type: ignore[arg-type]
        "halves",
        made.TaskVectorTransform(transform, lambda share, side: side),
    )
    return "halves"


def test_a_kind_needs_no_more_than_its_rows(half: str, family: Family, tmp_path: Path) -> None:
    scaled = replace(family, task_vectors=TaskVectors(half, 0.5))
    genome = Genome(scaled, (1.0, 0.5, -0.4))
    plain = Genome(family, (0.5, 0.25, -0.2))
    resident, checked = in_place(genome, tmp_path), verified(genome)
    for name, tensor in in_place(plain, tmp_path).items():
        torch.testing.assert_close(resident[name], tensor, rtol=0, atol=1e-6)
        assert torch.equal(resident[name], checked[name])
    assert Genome.from_mergekit(genome.to_recipe()) == genome != plain
    assert genome.to_recipe()["parameters"] == {"rank": 0, "halves": 0.5}
    line = json.loads(json.dumps(Record(genome, "search", {"red": 0.5}).to_json()))
    assert line["halves"] == 0.5
    assert Record.from_json(line, family).genome == genome
    assert genome.id != replace(genome, family=family).id


def test_the_kinds_that_recipes_know_are_those_that_can_be_made() -> None:
    assert known.KINDS.keys() == made.KINDS.keys()
    tags = [kind.tag for kind in known.KINDS.values()]
    assert len(set(tags)) == len(tags) and max(tags) < -1  # -1 begins the part of `energy`


@pytest.mark.parametrize(
    ("kind", "share", "message"),
    [
        ("tsv", 0.0, "tsv must be above 0"),
        ("tsv", 1.5, "at most 1, or 0 for none, got 1.5"),
        ("tsv", -0.1, "got -0.1"),
        ("plain", 0.5, "plain task vectors have no number, got 0.5"),
        ("ties", 0.1, "must be one of plain, tsv, wudi, got ties"),
        ("wudi", 1e-5, "wudi must be at least 0.0001 and at most 10000, or 0 for none, got 1e-05"),
    ],
)
def test_a_kind_out_of_its_range_is_refused(kind: str, share: float, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        TaskVectors(kind, share)


def test_no_key_and_a_share_of_nothing_mean_plain_task_vectors() -> None:
    assert TaskVectors.read({}) == TaskVectors.read({"tsv": 0.0, "rank": 3}) == PLAIN
    assert PLAIN.written() == {} and PLAIN.packed() == b""
    assert TaskVectors.read(TaskVectors("tsv", 0.25).written()) == TaskVectors("tsv", 0.25)
