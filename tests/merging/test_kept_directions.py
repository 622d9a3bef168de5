"""Which singular directions an expert keeps in the place of its task vector."""

from __future__ import annotations

import pytest
import torch

from mergekit_cycleqd.merging.directions import directions
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.singular_task_vectors import kept_directions, singular_task_vectors


@pytest.mark.parametrize(
    ("share", "side", "count"),
    [
        (1.0, 24, 24),
        (1 / 3, 24, 8),
        (0.29, 100, 29),  # 28.999999999999996 in floating point
        (0.5, 5, 2),
        (0.19, 10, 1),
        (0.01, 10, 1),
        (0.999, 1000, 999),
    ],
)
def test_a_share_of_directions_is_a_whole_number_of_them(
    share: float, side: int, count: int
) -> None:
    assert kept_directions(share, side) == count


def only(tau: torch.Tensor, share: float = 1.0) -> LowRank:
    (found,) = singular_task_vectors("", torch.zeros_like(tau), [tau], share, directions)
    assert isinstance(found, LowRank)
    return found


@pytest.mark.parametrize("size", [1.0, 40.0])
@pytest.mark.parametrize("wide", [False, True])
def test_directions_below_a_thousandth_of_the_longest_are_rounding(size: float, wide: bool) -> None:
    lengths = torch.tensor([1.0, 0.05, 0.0012, 0.0008])
    tau = torch.zeros(4, 6) if wide else torch.zeros(6, 4)
    tau[:4, :4] = torch.diag(size * lengths)
    found = only(tau)
    assert found.up.shape[1] == found.down.shape[0] == 3
    assert torch.allclose(
        found.product(torch.float32).diagonal(), size * lengths * (lengths > 1e-3)
    )


def test_the_longest_directions_are_kept() -> None:
    found = only(torch.diag(torch.tensor([1.0, 4.0, 3.0, 2.0])), 0.5)
    product = found.product(torch.float32)
    assert torch.allclose(product, torch.diag(torch.tensor([0.0, 4.0, 3.0, 0.0])), atol=1e-6)
    assert found.scaling == 1.0 and found.down.is_contiguous()


def test_two_directions_a_little_apart_stay_two() -> None:
    """A hair's breadth apart they are moved away from each other, and each keeps its length."""
    turn = 1e-2
    one, two = torch.tensor([1.0, 0.0]), torch.tensor([1.0, turn])
    two = two / two.norm()
    taus = [torch.outer(one, one), torch.outer(two, two)]
    found = singular_task_vectors("", torch.zeros(2, 2), [*taus], 0.5, directions)
    first, second = (part.product(torch.float32) for part in found if isinstance(part, LowRank))
    assert (first @ second).abs().max() < 1e-4
    assert torch.linalg.svdvals(first)[0].item() == pytest.approx(1.0, abs=1e-4)


def test_vectors_of_three_experts_are_averaged() -> None:
    base = torch.ones(5)
    experts = [base + 3.0, base - 6.0, None]
    first, second, third = singular_task_vectors("", base, experts, 0.5, directions)
    assert isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor) and third is None
    assert first.tolist() == [2.0] * 5 and second.tolist() == [-1.0] * 5


def test_merged_in_the_dtype_of_the_arithmetic() -> None:
    tau = torch.diag(torch.tensor([1.0, 4.0]))
    (found,) = singular_task_vectors("", tau.bfloat16() * 0, [tau.bfloat16()], 1.0, directions)
    assert isinstance(found, LowRank)
    assert found.up.dtype == found.down.dtype == torch.float32
    base = torch.zeros(2).bfloat16()
    (vector,) = singular_task_vectors("", base, [base + 1], 1.0, directions)
    assert isinstance(vector, torch.Tensor) and vector.dtype == torch.float32
