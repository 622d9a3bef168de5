"""Verify that a model on disk is the one that its recipe describes.

mergekit wrote the model. Its tensors must be finite and have as many numbers as the base's. Some of
them are computed again by the search's own kernel, to which the scores belong, and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import lay_out
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert, open_expert
from mergekit_cycleqd.checkpoints.merge_layout import MergeLayout, Reader
from mergekit_cycleqd.checkpoints.tied_head import head_names, is_tied
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor_once

SPREAD = 12  # number of tensors that are computed again
_OF_CHANGE = 0.02  # tolerance as a share of the change; LoRA products and rounding differ by less
_OF_BASE = {torch.float32: 1e-6, torch.float64: 1e-12}  # rounding, relative to the base's norm
_OF_BASE_SHORT = 1e-4


@torch.no_grad()
def verify_model(folder: Path, genome: Genome) -> None:
    """Compare a built model with its recipe.

    Args:
        folder: The model's folder.
        genome: The model's genome, over base and experts in folders on this machine.

    Raises:
        HubError: If they differ.
        ModelError: If a checkpoint cannot be read.
    """
    built = Checkpoint(str(folder), folder)
    base = Checkpoint.open(genome.family.base_model)
    experts = [open_expert(expert) for expert in genome.family.experts]
    skipped = head_names((*built.headers, *base.headers)) if is_tied(base) else set()
    ours, theirs = _count_weights(built, skipped), _count_weights(base, skipped)
    if ours != theirs:
        raise HubError(f"{folder}: the built model has {ours} numbers, its base {theirs}")
    for name in built.headers:
        if not torch.isfinite(built.tensor(name)).all():
            raise HubError(f"{folder}: tensor {name} of the built model has NaN or infinite values")
    names, readers = _readers(base, experts)
    for name in _spread([name for name in names if name in built.headers]):
        _compare_tensor(built, name, genome, readers)


def _readers(base: Checkpoint, experts: Sequence[Checkpoint]) -> tuple[list[str], list[Reader]]:
    """Give the names of the merged tensors, and functions that read those of base and experts.

    A model whose code is in its repository is read by the names of its files.
    """
    try:
        layout = MergeLayout(base, lay_out(base, trust=False))
    except (OSError, ValueError, ImportError):
        return list(base.headers), [_by_stored_name(model) for model in (base, *experts)]
    return layout.names, [layout.reader(model) for model in (base, *experts)]


def _by_stored_name(model: Checkpoint) -> Reader:
    return model.expert_tensor if isinstance(model, LoRAExpert) else model.tensor


def _count_weights(model: Checkpoint, skipped: set[str]) -> int:
    """Count the weights of a model. Stored copies of a tied embedding are skipped."""
    sizes = {name: torch.Size(header.shape).numel() for name, header in model.headers.items()}
    return sum(size for name, size in sizes.items() if name not in skipped)


def _spread(names: list[str]) -> list[str]:
    """Choose up to `SPREAD` names, evenly spread over their order."""
    names = sorted(names)
    count = min(SPREAD, len(names))
    return [names[i * (len(names) - 1) // max(1, count - 1)] for i in range(count)]


def _compare_tensor(built: Checkpoint, name: str, genome: Genome, readers: list[Reader]) -> None:
    found, (read, *experts) = built.tensor(name), readers
    start = read(name)
    assert isinstance(start, Tensor)
    if not found.is_floating_point() or found.shape != start.shape:
        return
    expected = expected_tensor(name, genome, start, experts).to(found.dtype).double()
    change = torch.linalg.vector_norm(expected - start.double())
    tolerance = _OF_BASE.get(found.dtype, _OF_BASE_SHORT) * torch.linalg.vector_norm(start.double())
    difference = torch.linalg.vector_norm(found.double() - expected)
    if difference > _OF_CHANGE * change + tolerance:
        raise HubError(
            f"{built.folder}: tensor {name} of the built model is not the recipe's: apart by "
            f"{float(difference):.3g}, of a change of {float(change):.3g}"
        )


def expected_tensor(name: str, genome: Genome, start: Tensor, experts: Sequence[Reader]) -> Tensor:
    """Compute one tensor of a genome's model, as the search does.

    Args:
        name: The tensor's name in `MergeLayout`.
        genome: The model.
        start: The base's tensor.
        experts: Functions that read the experts, in the order of the genome's weights.

    Returns:
        The merged tensor, of the shape of `start` and in the family's dtype.
    """
    family = genome.family
    if family.dtype:
        start = start.to(getattr(torch, family.dtype))
    expert_tensors = [_unless_equal(read(name), start, family.dtype) for read in experts]
    out = torch.empty_like(start, memory_format=torch.contiguous_format)
    merge_tensor_once(
        out, name, start, expert_tensors, TensorNumbers.of(genome), family.task_vectors
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
    if isinstance(found, Tensor):
        found = found.to(getattr(torch, dtype)) if dtype else found
        return None if torch.equal(found, start) else found
    return found
