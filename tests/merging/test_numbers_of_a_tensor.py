"""Which experts a genome needs for a tensor, and what its kind of task vectors makes of them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate, mutate_own
from mergekit_cycleqd.genome.task_vectors import PLAIN, TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.directions import directions
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor_once
from mergekit_cycleqd.merging.singular_task_vectors import singular_task_vectors
from mergekit_cycleqd.merging.task_vectors import count_directions, transform_experts

FAMILY = Family("base", ("a", "b", "c"), rank=2)
SINGULAR = TaskVectors("tsv", 0.5)
GENOME = Genome(FAMILY, (0.0, 0.5, 0.0))


@pytest.fixture(autouse=True)
def cache(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path))


def test_an_expert_is_needed_for_its_weight_its_terms_or_a_lineage() -> None:
    assert TensorNumbers.of(GENOME, "w").experts == {1}
    assert TensorNumbers.of(mutate(GENOME, Term(2, 7, 0.3)), "w").experts == {1, 2}
    assert TensorNumbers.of(mutate(GENOME, Term(None, 7, 0.3)), "w").experts == {1}
    assert TensorNumbers.of(mutate_own(GENOME, 7, 0.3), "w").experts == {0, 1, 2}


def test_the_numbers_of_a_genome_are_told_apart() -> None:
    terms = (Term(None, 1, 0.1), Term(0, 2, 0.2), Term(2, 3, 0.3))
    numbers = TensorNumbers.of(replace(GENOME, terms=terms), "w")
    assert numbers.noise == terms[:1]
    assert list(numbers.terms) == [terms[1:2], (), terms[2:]]
    assert (numbers.rank, numbers.energy) == (2, 0.0)


def tensors() -> tuple[torch.Tensor, list[torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    base, *experts = torch.randn(4, 6, 4, generator=generator, dtype=torch.float64)
    return base, experts


def test_plain_task_vectors_leave_the_experts_as_they_are() -> None:
    base, experts = tensors()
    assert transform_experts(PLAIN, "", base, [*experts, None], directions) == [*experts, None]
    assert count_directions(PLAIN, 7) == 7 and count_directions(SINGULAR, 7) == 3


def test_a_model_of_task_singular_vectors_is_the_sum_of_the_transformed_experts() -> None:
    base, experts = tensors()
    numbers = TensorNumbers.of(
        Genome(replace(FAMILY, task_vectors=SINGULAR), (0.5, 0.25, 1.0)), "w"
    )
    out = torch.empty_like(base)
    merge_tensor_once(out, "x.weight", base, experts, numbers, SINGULAR)
    expected = base.clone()
    found = singular_task_vectors("", base, experts, 0.5, directions)
    for weight, part in zip((0.5, 0.25, 1.0), found, strict=True):
        assert part is not None and not isinstance(part, torch.Tensor)
        expected += weight * part.product(torch.float64)
    assert torch.allclose(out, expected, atol=1e-6)


def test_an_expert_that_leaves_a_tensor_alone_adds_nothing() -> None:
    base, experts = tensors()
    numbers = TensorNumbers.of(mutate(Genome(FAMILY, (0.5, 0.25, 1.0)), Term(1, 7, 0.3)), "w")
    out = torch.empty_like(base)
    merge_tensor_once(out, "x.weight", base, [experts[0], None, None], numbers, PLAIN)
    assert torch.allclose(out, base + 0.5 * (experts[0] - base))
