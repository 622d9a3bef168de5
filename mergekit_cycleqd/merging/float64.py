"""float64 where a device has it, and on the CPU where it has not, as Apple's GPUs.

Tensors of 64 bits stay on the CPU there. What is made of them goes to the device once it is
rounded. On all other devices the functions do what `Tensor.to` does.
"""

from __future__ import annotations

import torch
from torch import Tensor

LACKING = {"mps"}
"""Types of devices without float64."""


def can_hold(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether a device can hold tensors of a dtype."""
    return dtype != torch.float64 or device.type not in LACKING


def widest(device: torch.device) -> torch.dtype:
    """The widest floating dtype of a device."""
    return torch.float64 if can_hold(device, torch.float64) else torch.float32


def cast(tensor: Tensor, dtype: torch.dtype) -> Tensor:
    """Cast a tensor, on its device if that can hold the dtype, else on the CPU."""
    return tensor.to(dtype) if can_hold(tensor.device, dtype) else tensor.cpu().to(dtype)


def in_float64(tensor: Tensor) -> Tensor:
    """Cast a tensor to float64, on its device if that has it, else on the CPU."""
    return cast(tensor, torch.float64)


def placed(tensor: Tensor, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Send a tensor to a device if that can hold it.

    Args:
        tensor: Any tensor.
        device: The device.
        dtype: What a tensor that the device cannot hold is rounded to; None to leave it where it
            is.
    """
    if can_hold(device, tensor.dtype):
        return tensor.to(device)
    return tensor if dtype is None else tensor.to(dtype).to(device)
