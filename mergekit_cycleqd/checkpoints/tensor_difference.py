"""How far two tensors of a merged model are apart, and how far they may be."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from mergekit_cycleqd.merging.float64 import in_float64

_OF_CHANGE = 0.02  # LoRA products, and directions that are kept in 16 bits, differ by less
_OF_BASE = {torch.float32: 1e-6, torch.float64: 1e-12}  # rounding, relative to the base's norm
_OF_BASE_SHORT = 1e-4


@dataclass(frozen=True)
class TensorDifference:
    """The difference of two tensors that should be the same. All numbers are Euclidean norms.

    Attributes:
        name: Name of the tensor.
        difference: Norm of the difference.
        change: Norm of the change from the base to the expected tensor.
        allowed: Largest norm of a difference that rounding explains.
    """

    name: str
    difference: float
    change: float
    allowed: float

    @classmethod
    def of(cls, name: str, found: Tensor, expected: Tensor, start: Tensor) -> TensorDifference:
        """Compare two tensors of one shape.

        Args:
            name: Name of the tensor.
            found: The tensor to check.
            expected: The right tensor; it is rounded to the dtype of `found`.
            start: The base's tensor.
        """
        exact = in_float64(expected.to(found.device, found.dtype))
        base = in_float64(start.to(found.device))
        difference = torch.linalg.vector_norm(in_float64(found) - exact)
        change = torch.linalg.vector_norm(exact - base)
        rounding = _OF_BASE.get(found.dtype, _OF_BASE_SHORT) * torch.linalg.vector_norm(base)
        allowed = _OF_CHANGE * change + rounding
        return cls(name, float(difference), float(change), float(allowed))

    @property
    def agrees(self) -> bool:
        """Whether rounding explains the difference; never if a number is not finite."""
        return self.difference <= self.allowed

    @property
    def of_change(self) -> float:
        """The difference as a share of the change; of the allowed one if nothing changed."""
        return self.difference / (self.change or self.allowed or 1.0)

    def __str__(self) -> str:
        """Tensor, difference and change."""
        return f"{self.name}: apart by {self.difference:.3g}, of a change of {self.change:.3g}"
