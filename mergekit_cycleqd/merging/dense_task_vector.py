"""A task vector that is kept as itself, where others are kept as an expert's whole tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class DenseTaskVector:
    """The task vector of one tensor.

    A whole tensor, base and task vector together, would round the task vector to the precision of
    the much larger base.

    Attributes:
        tau: The task vector, of the base's shape and any floating dtype.
    """

    tau: Tensor

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> DenseTaskVector:
        """Apply a function to the tensor, such as a copy to another device."""
        return DenseTaskVector(change(self.tau))

    def to(self, where: torch.device | torch.dtype) -> DenseTaskVector:
        """Copy the tensor to another device or dtype."""
        return self.map_tensors(lambda tau: tau.to(where))

    def kept_in(self, dtype: torch.dtype) -> DenseTaskVector:
        """Round the tensor to a dtype."""
        return self.to(dtype)

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the task vector."""
        return tuple(self.tau.shape)

    @property
    def ndim(self) -> int:
        """Number of axes of the task vector."""
        return self.tau.ndim
