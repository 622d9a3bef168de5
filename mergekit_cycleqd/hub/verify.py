"""Verify that a model on disk is the one that its recipe describes.

The model must hold every tensor of the base, and its tensors must be finite. Some of them are
computed again by the search's own kernel, to which the scores belong, and compared.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.family_tensors import lay_out
from mergekit_cycleqd.checkpoints.family_vocabulary import open_family
from mergekit_cycleqd.checkpoints.genome_tensors import genome_tensor
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert
from mergekit_cycleqd.checkpoints.merge_layout import MergeLayout, Reader
from mergekit_cycleqd.errors import first_names
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError

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
    base, experts = open_family(genome.family)
    tensors = _tensors_of(base)
    if missing := tensors.missing(built):
        raise HubError(f"{folder}: the built model lacks {first_names(missing)} of its base")
    for name in built.headers:
        if not torch.isfinite(built.tensor(name)).all():
            raise HubError(f"{folder}: tensor {name} of the built model has NaN or infinite values")
    found, *readers = (tensors.reader(model) for model in (built, base, *experts))
    for name in _spread(tensors.names):
        _compare_tensor(str(folder), name, genome, found, readers)


def _tensors_of(base: Checkpoint) -> MergeLayout | _StoredTensors:
    try:
        return MergeLayout(base, lay_out(base, trust=False))
    except (OSError, ValueError, ImportError):
        return _StoredTensors(base)


class _StoredTensors:
    """The tensors of a model whose code is in its repository, by the names in its files."""

    def __init__(self, base: Checkpoint) -> None:
        self.names = list(base.headers)

    def missing(self, model: Checkpoint) -> list[str]:
        """List the names that a model lacks."""
        return [name for name in self.names if name not in model.headers]

    def reader(self, model: Checkpoint) -> Reader:
        """Give the function that reads the tensors of a model."""
        return model.expert_tensor if isinstance(model, LoRAExpert) else model.tensor


def _spread(names: list[str]) -> list[str]:
    """Choose up to `SPREAD` names, evenly spread over their order."""
    names = sorted(names)
    count = min(SPREAD, len(names))
    return [names[i * (len(names) - 1) // max(1, count - 1)] for i in range(count)]


def _compare_tensor(
    built: str, name: str, genome: Genome, read_built: Reader, readers: Sequence[Reader]
) -> None:
    read, *experts = readers
    found, start = read_built(name), read(name)
    assert isinstance(start, Tensor) and isinstance(found, Tensor)
    if not found.is_floating_point() or found.shape != start.shape:
        return
    expected = genome_tensor(name, genome, start, experts).to(found.dtype).double()
    change = torch.linalg.vector_norm(expected - start.double())
    tolerance = _OF_BASE.get(found.dtype, _OF_BASE_SHORT) * torch.linalg.vector_norm(start.double())
    difference = torch.linalg.vector_norm(found.double() - expected)
    if difference > _OF_CHANGE * change + tolerance:
        raise HubError(
            f"{built}: tensor {name} of the built model is not the recipe's: apart by "
            f"{float(difference):.3g}, of a change of {float(change):.3g}"
        )
