"""Read base and experts tensor by tensor, and compute task vectors, without a loaded model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out
from mergekit_cycleqd.checkpoints.layout.tensor_readers import tensor_reader, whole_reader
from mergekit_cycleqd.merging.directions import as_matrix
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.task_vector import compute_dtype


class FamilyTensors:
    """Reads the tensors of a family by the names under which they are merged.

    Attributes:
        names: All floating-point tensors of the model, tied ones once.
        matrices: The tensors of two or more axes.
    """

    def __init__(self, base: Checkpoint, experts: Sequence[Checkpoint], trust: bool) -> None:
        """Lay out the model on the meta device, without weights.

        Args:
            base: The base model.
            experts: The experts.
            trust: transformers' `trust_remote_code`.
        """
        layout = lay_out(base, trust)
        self.names = layout.names
        self.matrices = [name for name in self.names if len(layout.shapes[name]) >= 2]
        self._readers = [tensor_reader(layout, expert) for expert in experts]
        self._base = whole_reader(layout, base)

    def base(self, name: str) -> Tensor:
        """Read the base's tensor, in the dtype of the arithmetic.

        Raises:
            ModelError: If the tensor is missing, or has NaN or infinite values.
        """
        tensor = self._base(name)
        return tensor.to(compute_dtype(tensor.dtype))

    def task_vector(self, expert: int, name: str, base: Tensor) -> Tensor | LowRank | None:
        """Compute an expert's task vector of one tensor; None if the expert equals the base.

        Args:
            expert: Index of the expert.
            name: Name of the tensor.
            base: The base's tensor, as `base` gives it.

        Raises:
            ModelError: If the expert's tensor is missing, or has NaN or infinite values.
        """
        expert_tensor = self._readers[expert](name)
        if expert_tensor is None or isinstance(expert_tensor, LowRank):
            return expert_tensor
        tau = expert_tensor.to(base.dtype) - base
        return tau if tau.any() else None

    def task_matrices(
        self, device: torch.device, step: Callable[[], None]
    ) -> Iterator[tuple[int, Tensor | LowRank]]:
        """Compute the task vectors of all matrices that experts change.

        Args:
            device: Device of the task vectors.
            step: Called after each matrix of each expert, also if the expert does not change it.

        Yields:
            Index of the expert, and its task vector as an (m, n) matrix or a `LowRank`.

        Raises:
            ModelError: If a tensor is missing, or has NaN or infinite values.
        """
        for name in self.matrices:
            base = self.base(name)
            for k in range(len(self._readers)):
                tau = self.task_vector(k, name, base)
                if tau is not None:
                    yield k, (tau if isinstance(tau, LowRank) else as_matrix(tau)).to(device)
                step()
