"""A child's own mutations, replayed on one tensor."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import combine, mutate_own
from mergekit_cycleqd.merging import lineage_replay
from mergekit_cycleqd.merging import random_draws as draws
from mergekit_cycleqd.merging.lineage_replay import Replays, replay

FAMILY = Family("base", ("a", "b"))
NAME = "layer.weight"
BASE = torch.zeros(6, 4, dtype=torch.float64)


def tau(seed: int, *shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed)).double()


def added(task_vector: Tensor, seed: int, scale: float, lead: int) -> Tensor:
    u, s, vt = torch.linalg.svd(task_vector, full_matrices=False)
    factors = torch.full_like(s, scale / 2)
    factors[:lead] = scale * torch.from_numpy(draws.uniform(seed, NAME, lead).copy())
    return u @ torch.diag(s * factors) @ vt


@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
@pytest.mark.parametrize("rank", [0, 2])
def test_a_mutation_scales_the_childs_own_directions(shape: tuple[int, int], rank: int) -> None:
    one, two = tau(0, *shape), tau(1, *shape)
    genome = mutate_own(Genome(FAMILY, (0.75, -0.5)), seed=9, scale=0.4)
    base = torch.zeros(*shape, dtype=torch.float64)
    found = replay(NAME, base, [one, two], genome.lineage, rank, 0.0)
    expected = added(0.75 * one - 0.5 * two, 9, 0.4, rank or min(shape))
    assert torch.allclose(found, expected, atol=1e-6)


def test_a_second_mutation_is_of_what_the_first_one_left() -> None:
    one = tau(0, 6, 4)
    first = mutate_own(Genome(FAMILY, (1.0, 0.0)), seed=9, scale=0.4)
    second = mutate_own(first, seed=10, scale=0.2)
    found = replay(NAME, BASE, [one, None], second.lineage, 0, 0.0)
    step = added(one, 9, 0.4, 4)
    assert torch.allclose(found, step + added(one + step, 10, 0.2, 4), atol=1e-6)


def test_parts_are_scaled_as_the_genomes_were() -> None:
    one = tau(0, 6, 4)
    parent = mutate_own(Genome(FAMILY, (1.0, 0.0)), seed=9, scale=0.4)
    child = combine([parent, Genome(FAMILY, (0.0, 1.0))], [0.25, 0.75])
    found = replay(NAME, BASE, [one, None], child.lineage, 0, 0.0)
    assert torch.allclose(found, 0.25 * added(one, 9, 0.4, 4), atol=1e-6)


def test_tensors_with_one_axis_are_left_alone() -> None:
    genome = mutate_own(Genome(FAMILY, (1.0, 0.0)), seed=9, scale=0.4)
    found = replay(NAME, torch.ones(4), [torch.ones(4), None], genome.lineage, 0, 0.0)
    assert found.tolist() == [0.0] * 4


@pytest.mark.parametrize(("free", "kept"), [(632, True), (631, False)])
def test_results_are_kept_while_half_of_the_free_memory_stays_free(
    free: int, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """192 bytes are kept as long as 440 of 880 remain."""
    memory = [880, free]
    monkeypatch.setattr(lineage_replay, "_free", lambda: memory.pop(0))
    replays = Replays()
    (mutation, _), *_ = mutate_own(Genome(FAMILY, (1.0, 0.0)), seed=9, scale=0.4).lineage
    replays.keep(NAME, mutation, BASE)
    assert (replays.known(NAME, mutation) is not None) == kept
    assert replays.known("another", mutation) is None


def test_what_is_kept_is_not_computed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lineage_replay, "_free", lambda: 10**9)
    one = tau(0, 6, 4)
    vectors = [one, None]
    replays = Replays()
    first = mutate_own(Genome(FAMILY, (1.0, 0.0)), seed=9, scale=0.4)
    second = mutate_own(first, seed=10, scale=0.2)
    computed = []
    original = lineage_replay._added

    def counted(*arguments: object) -> Tensor:
        computed.append(arguments)
        return original(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(lineage_replay, "_added", counted)
    replay(NAME, BASE, vectors, first.lineage, 0, 0.0, replays)
    assert len(computed) == 1
    found = replay(NAME, BASE, vectors, second.lineage, 0, 0.0, replays)
    assert len(computed) == 2
    assert torch.allclose(found, replay(NAME, BASE, vectors, second.lineage, 0, 0.0), atol=1e-9)
