"""An expert less its base, in the dtype of the arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor

from mergekit_cycleqd.merging.low_rank import LowRank


def task_vector(base: Tensor, own: Tensor | LowRank) -> Tensor:
    """What an expert has less the base, like the base, in the dtype of the arithmetic.

    Args:
        base: The base's tensor, of any shape and floating dtype.
        own: The expert's own tensor, or its task vector in thin factors.
    """
    exact = compute_dtype(base.dtype)
    if isinstance(own, LowRank):
        return own.product(exact).reshape(base.shape)
    return own.to(exact) - base.to(exact)


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """The dtype in which tensors of `dtype` are merged: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)
