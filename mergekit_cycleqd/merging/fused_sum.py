"""Base, experts and products of a tensor, added up in one pass over the memory of a GPU.

torch reads and writes the sum anew for each summand, which takes seven times as long. Without
Triton, or without the C compiler that it calls, `usable` is False and torch does it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

MOST = 8
"""Experts that can be added in one pass."""

_BLOCK = 1024

Summand = tuple[float, Tensor]


def fits(target: Tensor, summands: Sequence[Summand]) -> bool:
    """Whether `fused_sum` can do it: contiguous tensors of at most 32 bits on a usable GPU."""
    tensors = [target, *(tensor for _, tensor in summands)]
    return (
        target.device.type == "cuda"
        and len(summands) <= MOST + 1
        and all(each.is_contiguous() and each.dtype.itemsize <= 4 for each in tensors)
        and usable(target.device)
    )


def fused_sum(target: Tensor, summands: Sequence[Summand], product: Tensor | None) -> None:
    """Write a weighted sum, computed in float32 and rounded once.

    Args:
        target: Takes the sum; any shape.
        summands: Coefficients, and tensors of the same shape: first the base.
        product: Added with the coefficient 1.
    """
    (first, base), *experts = summands
    missing = MOST - len(experts)
    tensors = [tensor for _, tensor in experts] + [base] * missing
    coefficients = [coefficient for coefficient, _ in experts] + [0.0] * missing
    size = target.numel()
    with torch.cuda.device(target.device):
        _compiled()[(-(-size // _BLOCK),)](
            target,
            base,
            base if product is None else product,
            *tensors,
            first,
            *coefficients,
            size,
            len(experts),
            product is not None,
            _BLOCK,
        )


@cache
def usable(device: torch.device) -> bool:
    """Whether Triton compiles the sum for a GPU and gets it right."""
    base, expert, product = (torch.full((3, 5), n, device=device) for n in (1.0, 2.0, 4.0))
    found = torch.empty_like(base)
    try:
        fused_sum(found, [(0.5, base), (0.25, expert)], product)
    except Exception as error:  # an import, a compiler or a driver: whatever it is, torch can do it
        logging.getLogger(__name__).debug("Triton is not used: %s", error)
        return False
    return bool((found == 5.0).all())


@cache
def _compiled() -> Any:
    import triton
    import triton.language as tl

    jit: Callable[..., Any] = triton.jit

    @jit
    def add_up(  # type: ignore[no-untyped-def]
        target, base, product, e0, e1, e2, e3, e4, e5, e6, e7,
        first, c0, c1, c2, c3, c4, c5, c6, c7,
        size, COUNT: tl.constexpr, PRODUCT: tl.constexpr, BLOCK: tl.constexpr,
    ):  # fmt: skip
        at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
        inside = at < size
        total = tl.load(base + at, inside).to(tl.float32) * first
        if COUNT > 0:
            total += tl.load(e0 + at, inside).to(tl.float32) * c0
        if COUNT > 1:
            total += tl.load(e1 + at, inside).to(tl.float32) * c1
        if COUNT > 2:
            total += tl.load(e2 + at, inside).to(tl.float32) * c2
        if COUNT > 3:
            total += tl.load(e3 + at, inside).to(tl.float32) * c3
        if COUNT > 4:
            total += tl.load(e4 + at, inside).to(tl.float32) * c4
        if COUNT > 5:
            total += tl.load(e5 + at, inside).to(tl.float32) * c5
        if COUNT > 6:
            total += tl.load(e6 + at, inside).to(tl.float32) * c6
        if COUNT > 7:
            total += tl.load(e7 + at, inside).to(tl.float32) * c7
        if PRODUCT:
            total += tl.load(product + at, inside).to(tl.float32)
        tl.store(target + at, total, inside)

    return add_up
