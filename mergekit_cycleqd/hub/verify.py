"""Verify that a model on disk is the one that its recipe describes.

The model must hold every tensor of the base, and its tensors must be finite. Some of them are
computed again by the search's own kernel, to which the scores belong, and compared.
"""

from __future__ import annotations

from pathlib import Path

import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.genome_tensors import genome_tensor
from mergekit_cycleqd.checkpoints.layout.lay_out import lay_out_if_known
from mergekit_cycleqd.checkpoints.layout.tensor_readers import (
    missing_tensors,
    tensor_reader,
    whole_reader,
)
from mergekit_cycleqd.checkpoints.tensor_difference import TensorDifference
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.errors import first_names
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError

SPREAD = 12  # number of tensors that are computed again


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
    layout = lay_out_if_known(base)
    if missing := missing_tensors(layout, built):
        raise HubError(f"{folder}: the built model lacks {first_names(missing)} of its base")
    for name in built.headers:
        if not torch.isfinite(built.tensor(name)).all():
            raise HubError(f"{folder}: tensor {name} of the built model has NaN or infinite values")
    found, start = whole_reader(layout, built), whole_reader(layout, base)
    readers = [tensor_reader(layout, expert) for expert in experts]
    for name in _spread(layout.names):
        of_base = start(name)
        expected = genome_tensor(name, genome, of_base, readers)
        apart = TensorDifference.of(name, found(name), expected, of_base)
        if not apart.agrees:
            raise HubError(
                f"{folder}: tensor {name} of the built model is not the recipe's: apart by "
                f"{apart.difference:.3g}, of a change of {apart.change:.3g}"
            )


def _spread(names: list[str]) -> list[str]:
    """Choose up to `SPREAD` names, evenly spread over their order."""
    names = sorted(names)
    count = min(SPREAD, len(names))
    return [names[i * (len(names) - 1) // max(1, count - 1)] for i in range(count)]
