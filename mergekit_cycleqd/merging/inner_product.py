"""Inner products of a tensor's gradient with the task vectors of experts."""

from __future__ import annotations

import torch
from torch import Tensor

from mergekit_cycleqd.merging.float64 import widest
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import ExpertTensor, task_vector

_BLOCK = 2**22  # elements that are cast at a time


def inner_product(gradient: Tensor, base: Tensor, expert_tensor: ExpertTensor | None) -> Tensor:
    """Compute ``<gradient, tau>``, the derivative of a loss by the weight of a task vector.

    Arithmetic is in the dtype of the merge, and sums are in float64. A task vector of low rank is
    not multiplied out.

    Args:
        gradient: The derivative of the loss by the merged tensor, of the base's shape.
        base: The base's tensor.
        expert_tensor: The expert's tensor, its task vector, or None if it equals the base's.

    Returns:
        A scalar, on the device of the gradient.
    """
    device = gradient.device
    exact = widest(device)
    if expert_tensor is None:
        return torch.zeros((), dtype=exact, device=device)
    if isinstance(expert_tensor, LowRank):
        thin = expert_tensor.to(device)
        slope = gradient.reshape(thin.shape)
        wide = torch.promote_types(thin.up.dtype, torch.float32)
        inner = (thin.up.to(wide).T @ slope.to(wide)) * thin.down.to(wide)
        return thin.scaling * inner.sum(dtype=exact)
    start, there = base.reshape(-1), _flat(expert_tensor)
    slope, total = gradient.reshape(-1), torch.zeros((), dtype=exact, device=device)
    for first in range(0, slope.numel(), _BLOCK):
        where = slice(first, first + _BLOCK)
        tau = task_vector(start[where].to(device), _part(there, where, device))
        total += (slope[where].to(tau.dtype) * tau).sum(dtype=exact)
    return total


def _flat(expert_tensor: ExpertTensor) -> ExpertTensor:
    if isinstance(expert_tensor, Tensor):
        return expert_tensor.reshape(-1)
    return expert_tensor.map_tensors(lambda tensor: tensor.reshape(-1))


def _part(expert_tensor: ExpertTensor, where: slice, device: torch.device) -> ExpertTensor:
    if isinstance(expert_tensor, Tensor):
        return expert_tensor[where].to(device)
    return expert_tensor.map_tensors(lambda tensor: tensor[where].to(device))
