"""The task vector of an expert, in the dtype of the arithmetic, from any form of an expert."""

from __future__ import annotations

import torch
from torch import Tensor

from mergekit_cycleqd.merging.dense_task_vector import DenseTaskVector
from mergekit_cycleqd.merging.float64 import cast, placed
from mergekit_cycleqd.merging.low_rank import LowRank

ExpertTensor = Tensor | LowRank | DenseTaskVector
"""An expert's tensor, or its task vector."""


def task_vector(base: Tensor, expert_tensor: ExpertTensor) -> Tensor:
    """Compute an expert's task vector, of the base's shape, in the dtype of the arithmetic.

    Args:
        base: The base's tensor, of any shape and floating dtype.
        expert_tensor: The expert's tensor, or its task vector.
    """
    exact = compute_dtype(base.dtype)
    if isinstance(expert_tensor, LowRank):
        return placed(expert_tensor.product(exact).reshape(base.shape), base.device)
    if isinstance(expert_tensor, DenseTaskVector):
        return placed(cast(expert_tensor.tau, exact), base.device)
    return cast(expert_tensor, exact) - base.to(exact)


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Give the dtype of the arithmetic for tensors of `dtype`: float32, or float64 for float64."""
    return torch.promote_types(dtype, torch.float32)
