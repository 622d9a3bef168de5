"""A task vector in two thin factors, as a LoRA adapter has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mergekit_cycleqd.merging.directions import SingularDirections


@dataclass(frozen=True)
class LowRank:
    """The task vector ``scaling * up @ down`` of one matrix.

    Attributes:
        up: (m, r), in the dtype that it is stored in.
        down: (r, n), likewise.
        scaling: Factor of the product.
    """

    up: Tensor
    down: Tensor
    scaling: float

    def map_tensors(self, change: Callable[[Tensor], Tensor]) -> LowRank:
        """The same with both factors changed, such as to another device."""
        return LowRank(change(self.up), change(self.down), self.scaling)

    def to(self, where: torch.device | torch.dtype) -> LowRank:
        """The same on another device, or in another dtype."""
        return self.map_tensors(lambda factor: factor.to(where))

    @property
    def shape(self) -> tuple[int, int]:
        """(m, n) of the task vector."""
        return self.up.shape[0], self.down.shape[1]

    @property
    def ndim(self) -> int:
        """Always 2."""
        return 2

    def product(self, dtype: torch.dtype) -> Tensor:
        """The task vector itself, (m, n), computed in `dtype`."""
        return self.scaling * (self.up.to(dtype) @ self.down.to(dtype))

    def singular_directions(self) -> SingularDirections:
        """Its singular directions, without the dense matrix: QR of both factors, SVD of the core.

        Returns:
            At most r directions of the smaller side, (min(m, n), r); all others have singular
            value zero.
        """
        left, core_left = torch.linalg.qr(self.up.double())
        right, core_right = torch.linalg.qr(self.down.double().T)
        u, s, vt = torch.linalg.svd(core_left @ core_right.T, full_matrices=False)
        wide = self.up.shape[0] < self.down.shape[1]
        vectors = left @ u if wide else right @ vt.T
        return SingularDirections(vectors.float().contiguous(), abs(self.scaling) * s.cpu())
