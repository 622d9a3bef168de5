"""The sum in one pass over a GPU's memory is torch's, and where it does not fit torch does it."""

from __future__ import annotations

import pytest
import torch

from mergekit_cycleqd.merging.fused_sum import MOST, fits, fused_sum

GPU = torch.device("cuda" if torch.cuda.is_available() else "cpu")


def summands(count: int, dtype: torch.dtype) -> list[tuple[float, torch.Tensor]]:
    draw = torch.Generator().manual_seed(count)
    tensors = [torch.randn(37, 91, generator=draw).to(GPU, dtype) for _ in range(count + 1)]
    return [(0.5 - 0.1 * k, tensor) for k, tensor in enumerate(tensors)]


def added_one_by_one(
    given: list[tuple[float, torch.Tensor]], product: torch.Tensor | None
) -> torch.Tensor:
    total = sum(coefficient * tensor.double() for coefficient, tensor in given)
    assert isinstance(total, torch.Tensor)
    return total if product is None else total + product.double()


@pytest.mark.gpu
@pytest.mark.parametrize("with_product", [True, False])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32])
@pytest.mark.parametrize("count", [0, 1, 3, MOST])
def test_sum_is_rounded_once(count: int, dtype: torch.dtype, with_product: bool) -> None:
    given = summands(count, dtype)
    product = torch.ones(37, 91, dtype=torch.bfloat16, device=GPU) if with_product else None
    found = torch.empty(37, 91, dtype=dtype, device=GPU)
    assert fits(found, given)
    fused_sum(found, given, product)
    expected = added_one_by_one(given, product)
    bound = torch.finfo(dtype).eps / 2 * expected.abs() + 1e-6
    assert (found.double() - expected).abs().le(bound).all()


@pytest.mark.gpu
def test_what_does_not_fit_is_left_to_torch() -> None:
    target = torch.empty(37, 91, device=GPU)
    assert not fits(target, summands(MOST + 1, torch.float32))
    assert not fits(target, summands(2, torch.float64))
    assert not fits(target, [(1.0, torch.zeros(91, 37, device=GPU).T)])


def test_on_a_cpu_torch_does_it() -> None:
    assert not fits(torch.zeros(2, 2), [(1.0, torch.ones(2, 2))])
