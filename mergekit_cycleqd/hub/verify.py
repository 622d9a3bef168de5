"""Whether a model on disk is the one that a recipe means.

mergekit wrote it; here it is loaded back and held against the recipe in another way: all of its
tensors must be finite and as many numbers as the base's, and a spread of them must be what the
kernel of the search makes of the genome and the checkpoints, which is what the scores belong to.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.lora_expert import LoRAExpert, open_expert
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.merging.low_rank import LowRank
from mergekit_cycleqd.merging.model_tensor import TensorNumbers, merge_tensor_once

SPREAD = 12  # tensors that are computed again
_OF_CHANGE = 0.02  # of what the merge changed; thin factors and rounding differ by less
_OF_BASE = {torch.float32: 1e-6, torch.float64: 1e-12}  # rounding, in units of the base
_OF_BASE_SHORT = 1e-4


@torch.no_grad()
def verify(folder: Path, genome: Genome) -> None:
    """Compare a built model with its recipe.

    Args:
        folder: The model.
        genome: Over folders on this machine.

    Raises:
        HubError: If they differ.
        ModelError: If a checkpoint cannot be read.
    """
    built = Checkpoint(str(folder), folder)
    base = Checkpoint.open(genome.family.base_model)
    experts = [open_expert(expert) for expert in genome.family.experts]
    if (ours := _numbers(built)) != (theirs := _numbers(base)):
        raise HubError(f"{folder}: the built model has {ours} numbers, its base {theirs}")
    for name in built.headers:
        if not torch.isfinite(built.tensor(name)).all():
            raise HubError(f"{folder}: tensor {name} of the built model has NaN or infinite values")
    for name in _spread(built, base):
        _compare(built, name, genome, base, experts)


def _numbers(model: Checkpoint) -> int:
    """How many weights there are, whatever the layout; of tied embeddings, without the copy."""
    skipped = "lm_head.weight" if model.config.get("tie_word_embeddings") else ""
    sizes = {name: torch.Size(header.shape).numel() for name, header in model.headers.items()}
    return sum(size for name, size in sizes.items() if name != skipped)


def _spread(built: Checkpoint, base: Checkpoint) -> list[str]:
    """Some of the tensors that both have, evenly from the first to the last."""
    names = sorted(
        name
        for name, header in built.headers.items()
        if name in base.headers and header.shape == base.headers[name].shape
    )
    count = min(SPREAD, len(names))
    return [names[i * (len(names) - 1) // max(1, count - 1)] for i in range(count)]


def _compare(
    built: Checkpoint, name: str, genome: Genome, base: Checkpoint, experts: list[Checkpoint]
) -> None:
    found, start = built.tensor(name), base.tensor(name)
    if not found.is_floating_point():
        return
    expected = expected_tensor(name, genome, start, experts).to(found.dtype).double()
    change = torch.linalg.vector_norm(expected - start.double())
    floor = _OF_BASE.get(found.dtype, _OF_BASE_SHORT) * torch.linalg.vector_norm(start.double())
    apart = torch.linalg.vector_norm(found.double() - expected)
    if apart > _OF_CHANGE * change + floor:
        raise HubError(
            f"{built.folder}: tensor {name} of the built model is not the recipe's: apart by "
            f"{float(apart):.3g}, of a change of {float(change):.3g}"
        )


def expected_tensor(name: str, genome: Genome, start: Tensor, experts: list[Checkpoint]) -> Tensor:
    """One tensor of a genome's model, as the search computes it.

    Args:
        name: Its name in the checkpoints.
        genome: The model.
        start: The base's tensor.
        experts: In the order of the genome's weights.
    """
    family = genome.family
    if family.dtype:
        start = start.to(getattr(torch, family.dtype))
    own = [_own(expert, name, start) for expert in experts]
    out = torch.empty_like(start, memory_format=torch.contiguous_format)
    merge_tensor_once(out, name, start, own, TensorNumbers.of(genome), family.task_vectors)
    return out


def _own(expert: Checkpoint, name: str, start: Tensor) -> Tensor | LowRank | None:
    """What an expert has for a tensor, in the base's dtype; None where it is the base's."""
    own = expert.expert_tensor(name) if isinstance(expert, LoRAExpert) else expert.tensor(name)
    if isinstance(own, Tensor):
        own = own.to(start.dtype)
        return None if torch.equal(own, start) else own
    return own
