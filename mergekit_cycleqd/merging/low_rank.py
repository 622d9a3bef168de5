"""A task vector of low rank, as the product of two matrices: the form of a LoRA adapter."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mergekit_cycleqd.merging.directions import SingularDirections
from mergekit_cycleqd.merging.float64 import cast, in_float64, placed


@dataclass(frozen=True)
class LowRank:
    """The task vector ``scaling * up @ down`` of one matrix.

    Attributes:
        up: (m, r) matrix, in the dtype that it is stored in.
        down: (r, n) matrix, in the dtype that it is stored in.
        scaling: Factor of the product.
    """

    up: Tensor
    down: Tensor
    scaling: float

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> LowRank:
        """Apply a function to both matrices, such as a copy to another device."""
        return LowRank(change(self.up), change(self.down), self.scaling)

    def to(self, where: torch.device | torch.dtype) -> LowRank:
        """Copy both matrices to another device or dtype."""
        return self.map_tensors(lambda factor: factor.to(where))

    def kept_in(self, dtype: torch.dtype) -> LowRank:
        """Round both matrices to a dtype, but not if float64 keeps close singular values."""
        return self if self.up.dtype == torch.float64 else self.to(dtype)

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of the task vector."""
        return self.up.shape[0], self.down.shape[1]

    @property
    def ndim(self) -> int:
        """Number of axes of the task vector, always 2."""
        return 2

    def product(self, dtype: torch.dtype) -> Tensor:
        """Multiply: the dense (m, n) task vector, computed in `dtype`."""
        return self.scaling * (cast(self.up, dtype) @ cast(self.down, dtype))

    def singular_directions(self) -> SingularDirections:
        """Compute the singular directions without the dense matrix, by QR and a small SVD.

        Returns:
            At most r directions of the smaller side, of shape (min(m, n), r). All others have
            singular value zero.
        """
        left, core_left = torch.linalg.qr(in_float64(self.up))
        right, core_right = torch.linalg.qr(in_float64(self.down).T)
        u, s, vt = torch.linalg.svd(core_left @ core_right.T, full_matrices=False)
        wide = self.up.shape[0] < self.down.shape[1]
        vectors = left @ u if wide else right @ vt.T
        found = SingularDirections.of(vectors, abs(self.scaling) * s)
        return replace(found, vectors=placed(found.vectors, self.up.device))
