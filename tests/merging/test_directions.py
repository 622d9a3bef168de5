from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import SingularDirections, as_matrix, directions


def same(first: SingularDirections, second: SingularDirections) -> bool:
    return torch.equal(first.vectors, second.vectors) and torch.equal(first.values, second.values)


@pytest.mark.parametrize("shape", [(40, 24), (24, 40), (24, 24), (1, 30), (30, 1)])
def test_directions_are_those_of_the_svd_in_its_order(shape: tuple[int, int]) -> None:
    tau = torch.randn(shape, generator=torch.Generator().manual_seed(0))
    found = directions(tau)
    basis = found.vectors.double().numpy()
    u, s, vt = np.linalg.svd(tau.double().numpy(), full_matrices=False)
    exact = vt.T if shape[0] >= shape[1] else u
    assert np.abs(np.sum(basis * exact, axis=0)) == pytest.approx(1.0, abs=1e-5)  # up to signs
    assert basis.T @ basis == pytest.approx(np.eye(len(basis)), abs=1e-6)
    lengths = np.linalg.norm(
        tau.double().numpy() @ basis if shape[0] >= shape[1] else basis.T @ tau.double().numpy(),
        axis=0 if shape[0] >= shape[1] else 1,
    )
    assert lengths == pytest.approx(s, rel=1e-5)
    assert found.values.numpy() == pytest.approx(s, rel=1e-6)


def test_the_order_of_directions_has_not_changed() -> None:
    """Golden: the leading direction is that of the largest singular value."""
    tau = torch.diag(torch.tensor([1.0, 3.0, 2.0]))
    assert directions(tau).vectors.abs().tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]


@pytest.mark.parametrize(
    ("energy", "lead"), [(0.0, 3), (0.1, 1), (0.7, 2), (0.92, 2), (0.93, 3), (1.0, 3)]
)
def test_energy_takes_the_fewest_directions_that_hold_it(energy: float, lead: int) -> None:
    """Squares 9, 4 and 1 of 14: shares 0.643, 0.929 and 1."""
    assert directions(torch.diag(torch.tensor([1.0, 3.0, 2.0]))).leading(0, energy) == lead


@pytest.mark.parametrize("energy", [0.5, 1.0])
def test_directions_without_length_do_not_lead(energy: float) -> None:
    assert directions(torch.diag(torch.tensor([0.0, 3.0, 0.0]))).leading(0, energy) == 1
    assert directions(torch.zeros(3, 3)).leading(0, energy) == 1


@pytest.mark.parametrize(("rank", "lead"), [(0, 3), (2, 2), (3, 3), (9, 3)])
def test_rank_is_bounded_by_what_there_is(rank: int, lead: int) -> None:
    assert directions(torch.ones(5, 3)).leading(rank, 0.0) == lead


def test_more_than_two_axes_are_a_matrix_of_the_first() -> None:
    assert as_matrix(torch.zeros(4, 3, 2, 2)).shape == (4, 12)


def test_the_cache_gives_back_what_it_stored(tmp_path: Path) -> None:
    tau = torch.randn(12, 7)
    cache = DirectionCache(tmp_path)
    first = cache.directions(tau)
    (file,) = tmp_path.rglob("*.safetensors")
    changed = file.stat().st_mtime_ns
    assert same(DirectionCache(tmp_path).directions(tau.clone()), first)
    assert file.stat().st_mtime_ns == changed
    assert not list(tmp_path.rglob("tmp*"))


def test_another_task_vector_has_another_place_in_the_cache(tmp_path: Path) -> None:
    cache = DirectionCache(tmp_path)
    cache.directions(torch.ones(4, 6))
    cache.directions(torch.ones(6, 4))
    cache.directions(2 * torch.ones(4, 6))
    assert len(list(tmp_path.rglob("*.safetensors"))) == 3


def test_a_broken_file_in_the_cache_is_made_again(tmp_path: Path) -> None:
    tau = torch.randn(12, 7)
    cache = DirectionCache(tmp_path)
    first = cache.directions(tau)
    (file,) = tmp_path.rglob("*.safetensors")
    file.write_bytes(file.read_bytes()[:40])
    assert same(cache.directions(tau), first)
    assert same(DirectionCache(tmp_path).directions(tau), first)


def test_without_store_nothing_is_written(tmp_path: Path) -> None:
    DirectionCache(tmp_path / "none").directions(torch.randn(3, 3), store=False)
    assert not (tmp_path / "none").exists()
