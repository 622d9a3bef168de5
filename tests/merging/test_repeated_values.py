"""Repeated singular values: the same tensor, whatever basis of their span a machine chooses."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import Tensor

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import combine, mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging import random_draws as draws
from mergekit_cycleqd.merging.kernel import Share, directions_of, merge_into
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor_once
from tests.support.lapack import MACHINES
from tests.support.repeated_values import one_step

NAME = "layer.weight"
FAMILY = Family("base", ("a", "b"))
TERMS = (Term(0, 7, 0.3), Term(0, 8, -0.2), Term(1, 9, 0.4))


def bred(family: Family) -> Genome:
    """Three mutations along a child's own directions, and one of another child."""
    child = Genome(family, (1.0, 0.0))
    for seed in range(3):
        child = mutate_own(child, seed, 0.4)
    return combine([child, mutate_own(Genome(family, (0.2, 0.7)), 9, 0.3)], [0.8, 0.5])


SINGULAR = replace(FAMILY, task_vectors=TaskVectors("tsv", 0.2))
GENOMES: dict[str, Genome] = {
    "all directions": Genome(FAMILY, (0.6, 0.5), TERMS),
    "a rank that cuts": Genome(replace(FAMILY, rank=5), (0.6, 0.5), TERMS),
    "a share of the energy": Genome(replace(FAMILY, energy=0.4), (0.6, 0.5), TERMS),
    "task singular vectors": Genome(SINGULAR, (0.6, 0.5)),
    "mutated task singular vectors": Genome(SINGULAR, (0.6, 0.5), TERMS),
    "a lineage": bred(FAMILY),
    "a lineage of task singular vectors": bred(SINGULAR),
}


def stepped(m: int, n: int) -> tuple[Tensor, list[Tensor | LowRank | None]]:
    """A base in bfloat16, and experts one step of its rounding away in a few weights."""
    draw = torch.Generator().manual_seed(2)
    base = (0.02 * torch.randn(m, n, generator=draw)).bfloat16()
    return base, [one_step(base, 0.01, draw) for _ in range(2)]


def adapted(m: int, n: int) -> tuple[Tensor, list[Tensor | LowRank | None]]:
    """A base, and adapters whose singular values are equal, up to their rounding to float32."""
    draw = torch.Generator().manual_seed(2)

    def orthogonal(length: int) -> Tensor:
        return torch.linalg.qr(torch.randn(length, 6, generator=draw))[0]

    taus = [LowRank(orthogonal(m), orthogonal(n).T, 0.02) for _ in range(2)]
    return torch.zeros(m, n), [*taus]


def equal(side: int) -> tuple[Tensor, list[Tensor | LowRank | None]]:
    """A base, and adapters whose singular values are equal to the last bit."""
    signs = torch.tensor(scipy.linalg.hadamard(side), dtype=torch.float32)
    taus = [LowRank(signs[:, k : k + 6], signs[6 + k : 12 + k], 0.001) for k in (0, 3)]
    return torch.zeros(side, side), [*taus]


def stored(side: int) -> tuple[Tensor, list[Tensor | LowRank | None]]:
    """A base, and experts of equal singular values, which storing in float32 has split."""
    draw = torch.Generator().manual_seed(2)
    base = 0.02 * torch.randn(side, side, generator=draw)

    def moved() -> Tensor:
        return base + 0.005 * torch.linalg.qr(torch.randn(side, side, generator=draw))[0]

    return base, [moved(), moved()]


FAMILIES = {
    "tall": lambda: stepped(72, 56),
    "wide": lambda: stepped(56, 72),
    "square": lambda: stepped(64, 64),
    "adapters": lambda: adapted(72, 56),
    "equal adapters": lambda: equal(64),
    "stored in float32": lambda: stored(64),
}


def merged(genome: Genome, models: tuple[Tensor, list[Tensor | LowRank | None]]) -> Tensor:
    """Merge in float32, beside a base of zeros, so that the change alone is rounded."""
    base, experts = models
    start = torch.zeros(base.shape)
    taus = [
        expert.float() - base.float() if isinstance(expert, Tensor) else expert
        for expert in experts
    ]
    out = torch.empty_like(start)
    numbers = TensorNumbers.of(genome, "w")
    merge_tensor_once(out, NAME, start, taus, numbers, genome.family.task_vectors)
    return out


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("kind", GENOMES)
def test_every_machine_makes_the_same_tensor(
    kind: str, family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome, models = GENOMES[kind], FAMILIES[family]()
    expected = merged(genome, models)
    for machine in MACHINES:
        with monkeypatch.context() as patch:
            MACHINES[machine](patch)
            found = merged(genome, models)
        difference = (found.double() - expected.double()).norm() / expected.double().norm()
        assert difference < 1e-6, machine


def test_directions_that_experts_nearly_share_hide_no_cluster(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is left of such directions is enlarged ten thousand times, with its rounding."""
    draw = torch.Generator().manual_seed(0)
    first, second = torch.zeros(2, 96, 96, dtype=torch.float64)
    for k in range(24):
        first[k, k], second[k + 12, k + 12] = 1.0, 1.0
    second[12, -1] = 1e-6
    left, right = (
        torch.linalg.qr(torch.randn(96, 96, generator=draw, dtype=torch.float64))[0]
        for _ in range(2)
    )
    experts: list[Tensor | LowRank | None] = [left @ tau @ right.T for tau in (first, second)]
    found = []
    for machine in (None, *MACHINES.values()):
        with monkeypatch.context() as patch:
            if machine:
                machine(patch)
            out = torch.empty_like(first)
            numbers = TensorNumbers.of(GENOMES["mutated task singular vectors"], "w")
            merge_tensor_once(out, NAME, first * 0, experts, numbers, SINGULAR.task_vectors)
            found.append(out)
    for other in found[1:]:
        assert float((other - found[0]).norm() / found[0].norm()) < 5e-10


def only(tau: Tensor, terms: tuple[Term, ...], rank: int = 0) -> Tensor:
    """What terms alone add to a base of zeros."""
    base, out = torch.zeros_like(tau), torch.empty_like(tau)
    share = Share(0.0, terms, tau, lambda: directions_of(base, tau, rank, 0.0))
    merge_into(out, NAME, base, [share], [])
    return out


def test_a_cluster_takes_the_draw_of_its_first_direction() -> None:
    """Golden: directions that stand alone keep the draws of their own places."""
    tau = torch.diag(torch.tensor([5.0, 3.0, 3.0, 2.0, 1.0]))
    drawn = draws.uniform(7, NAME, 5)
    expected = np.array([5, 3, 3, 2, 1]) * 0.4 * drawn[[0, 1, 1, 3, 4]]
    assert only(tau, (Term(0, 7, 0.4),)).diagonal().numpy() == pytest.approx(expected, rel=1e-6)


def test_what_a_rank_leaves_out_takes_the_mean() -> None:
    tau = torch.diag(torch.tensor([5.0, 3.0, 3.0, 2.0]))
    drawn = draws.uniform(7, NAME, 1)
    expected = np.array([5, 3, 3, 2]) * 0.4 * np.array([drawn[0], 0.5, 0.5, 0.5])
    found = only(tau, (Term(0, 7, 0.4),), rank=2).diagonal().numpy()
    assert found == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("make", [lambda tau: tau, lambda tau: LowRank(tau, torch.eye(4), 2.0)])
def test_task_singular_vectors_keep_whole_clusters(make: Callable[[Tensor], Tensor]) -> None:
    tau = torch.diag(torch.tensor([5.0, 3.0, 3.0, 1.0]))
    expert = make(tau)
    genome = Genome(replace(SINGULAR, task_vectors=TaskVectors("tsv", 0.5)), (1.0, 0.0))
    found = merged(genome, (torch.zeros(4, 4), [expert, None]))
    scale = 2.0 if isinstance(expert, LowRank) else 1.0
    expected = scale * torch.tensor([5.0, 3.0, 3.0, 0.0])
    assert found.diagonal().tolist() == pytest.approx(expected.tolist(), abs=1e-6)


def test_values_at_a_thousandth_of_the_largest_stay_together() -> None:
    values = [1000.0, 1.0, 1.0, 1.0]
    tau = torch.diag(torch.tensor(values))
    genome = Genome(replace(SINGULAR, task_vectors=TaskVectors("tsv", 1.0)), (1.0, 0.0))
    found = merged(genome, (torch.zeros(4, 4), [tau, None])).diagonal()
    assert found.tolist() == pytest.approx(values, rel=1e-6)
