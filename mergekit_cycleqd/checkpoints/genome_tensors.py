"""Compute single tensors of a genome's model from checkpoints, without a loaded model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.layout.tensor_readers import Reader
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor_once


def genome_tensor(
    name: str,
    genome: Genome,
    start: Tensor,
    experts: Sequence[Reader],
    dtype: torch.dtype | None = None,
) -> Tensor:
    """Compute one tensor of a genome's model, as the search does.

    Args:
        name: The tensor's name in `MergeLayout`.
        genome: The model.
        start: The base's tensor, on the device of the arithmetic.
        experts: Functions that read the experts, in the order of the genome's weights.
        dtype: Dtype of the result; None for the family's dtype, or that of `start`.

    Returns:
        The merged tensor, of the shape of `start`.
    """
    family = genome.family
    if family.dtype:
        start = start.to(getattr(torch, family.dtype))
    expert_tensors = [_unless_equal(read(name), start, family.dtype) for read in experts]
    out = torch.empty(start.shape, dtype=dtype or start.dtype, device=start.device)
    merge_tensor_once(
        out, name, start, expert_tensors, TensorNumbers.of(genome, name), family.task_vectors
    )
    return out


def _unless_equal(
    found: Tensor | LowRank | None, start: Tensor, dtype: str | None
) -> Tensor | LowRank | None:
    """Give an expert's tensor or a LoRA's change; None if the tensor is the base's.

    Args:
        found: What the expert has.
        start: The base's tensor.
        dtype: The recipe's dtype, to which inputs are cast; None for that of each model.
    """
    if isinstance(found, LowRank):
        return found.to(start.device)
    if found is not None:
        found = found.to(start.device, getattr(torch, dtype) if dtype else found.dtype)
        return None if torch.equal(found, start) else found
    return None
