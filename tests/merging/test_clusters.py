"""Which singular values count as repeated, and how many directions a limit takes."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.merging.clusters import cluster_starts, smallest_gap
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import SingularDirections, directions


def diagonal(*values: float) -> torch.Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.float64))


def found(*values: float) -> SingularDirections:
    return directions(diagonal(*values))


@pytest.mark.parametrize(
    ("values", "starts"),
    [
        ([4.0, 3.0, 2.0], [0, 1, 2]),
        ([4.0, 4.0, 2.0], [0, 0, 2]),
        ([4.0, 2.0, 2.0, 2.0, 1.0], [0, 1, 1, 1, 4]),
        ([1.0, 1 - 0.9e-9], [0, 0]),
        ([1.0, 1 - 1.1e-9], [0, 1]),
        ([1.0, 1 - 0.9e-9, 1 - 1.8e-9], [0, 0, 0]),  # neighbours count, not the ends
        ([1.0, 1e-4, 1e-4 * (1 - 4e-7)], [0, 1, 1]),  # squares apart by less than 1e-14
        ([1.0, 1e-4, 1e-4 * (1 - 6e-7)], [0, 1, 2]),
        ([1.0, 2e-7, 1.9e-7], [0, 1, 1]),
        ([1.0, 0.9e-7, 0.9e-7, 0.0, 0.0], [0, 1, 2, 3, 4]),  # rounding
        ([0.0, 0.0], [0, 1]),
        ([1.0], [0]),
        ([], []),
    ],
)
def test_values_are_repeated_up_to_rounding(values: list[float], starts: list[int]) -> None:
    assert cluster_starts(torch.tensor(values, dtype=torch.float64)).tolist() == starts


def test_the_smallest_gap_is_of_values_that_are_more_than_rounding() -> None:
    values = torch.tensor([2.0, 1.0, 0.75, 1e-7, 1e-7], dtype=torch.float64)
    assert smallest_gap(values) == 0.25
    assert smallest_gap(values[:1]) == smallest_gap(torch.zeros(3).double()) == math.inf


@pytest.mark.parametrize(
    ("rank", "lead"), [(1, 1), (2, 1), (3, 1), (4, 4), (5, 5), (6, 5), (7, 7), (0, 7), (9, 7)]
)
def test_a_rank_leaves_out_a_cluster_that_it_would_cut(rank: int, lead: int) -> None:
    assert found(5, 3, 3, 3, 2, 1, 1).leading(rank, 0.0) == lead


@pytest.mark.parametrize("rank", [1, 2, 3])
def test_a_first_cluster_is_taken_whole(rank: int) -> None:
    assert found(3, 3, 3, 1).leading(rank, 0.0) == 3


@pytest.mark.parametrize(("energy", "lead"), [(0.2, 1), (0.3, 4), (0.7, 4), (0.9, 5), (1.0, 6)])
def test_a_share_of_the_energy_takes_in_a_cluster_that_it_would_cut(
    energy: float, lead: int
) -> None:
    """Squares 16, 9, 9, 9, 4 and 1 of 48: the share of the first is 0.33, and of four 0.896."""
    assert found(4, 3, 3, 3, 2, 1).leading(0, energy) == (1 if energy < 0.33 else lead)


@pytest.mark.parametrize("noise", [-2e-16, 0.0, 2e-16])
def test_rounding_does_not_decide_whether_a_share_is_reached(noise: float) -> None:
    """The first cluster holds half of the energy."""
    values = torch.tensor([2.0, 1.0, 1.0, 1.0, 1.0], dtype=torch.float64) * (1 + noise)
    values[0] *= 1 - noise
    assert SingularDirections(torch.eye(5), values).leading(0, 0.5) == 1


def test_vectors_of_close_values_are_not_rounded() -> None:
    assert found(3, 2, 1).vectors.dtype == torch.float32
    assert found(3, 2, 2).vectors.dtype == torch.float64
    assert found(3, 2, 2 - 1e-6).vectors.dtype == torch.float64
    assert found(3, 2, 2 - 1e-2).vectors.dtype == torch.float32


def test_a_file_of_earlier_versions_is_good_unless_its_values_are_close(tmp_path: Path) -> None:
    cache = DirectionCache(tmp_path)
    for tau, again in ((diagonal(3, 2, 1).float(), False), (diagonal(3, 2, 2).float(), True)):
        known = directions(tau)
        path = cache.path(tau)
        path.parent.mkdir(parents=True)
        save_file({"vectors": -known.vectors.float(), "values": known.values}, path)
        loaded = cache.directions(tau)
        assert torch.equal(loaded.vectors, known.vectors if again else -known.vectors)
        assert load_file(path)["vectors"].dtype == loaded.vectors.dtype
        assert torch.equal(DirectionCache(tmp_path).directions(tau).vectors, loaded.vectors)
