"""Check that a model in memory is the genome that it should be, from the files of base and experts.

The resident model keeps, transforms and caches tensors. The check computes some of them anew, as
the check before a push does. A run does it once, so that nobody finds out after four days.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.genome_tensors import genome_tensor
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout, MergeUnit
from mergekit_cycleqd.checkpoints.layout.tensor_readers import tensor_reader, whole_reader
from mergekit_cycleqd.checkpoints.tensor_difference import TensorDifference
from mergekit_cycleqd.genome.genome import Genome

_MOST_NUMBERS = 2**22  # of a tensor: singular directions of larger ones take minutes


@torch.no_grad()
def compare_resident(
    layout: MergeLayout,
    experts: Sequence[Checkpoint],
    loaded: Mapping[str, Tensor],
    genome: Genome,
    units: Iterable[MergeUnit],
) -> list[TensorDifference]:
    """Compare tensors in memory with those that the files of base and experts give.

    Args:
        layout: The tensors of the base.
        experts: The experts, in the order of the genome's weights.
        loaded: Tensors in memory, by loaded name.
        genome: The model that should be in memory.
        units: The merged tensors to compare.

    Raises:
        ModelError: If a checkpoint cannot be read.
    """
    start = whole_reader(layout, layout.base)
    others = [tensor_reader(layout, expert) for expert in experts]
    found = []
    for unit in units:
        dtype = loaded[unit.loaded[0]].dtype

        def merged(name: str, dtype: torch.dtype = dtype) -> Tensor:
            return genome_tensor(name, genome, start(name), others, dtype)

        base, expected = unit.loaded_tensors(start), unit.loaded_tensors(merged)
        found += [
            TensorDifference.of(name, loaded[name], expected[name], base[name])
            for name in unit.loaded
        ]
    return found


def some_units(layout: MergeLayout) -> list[MergeUnit]:
    """Choose one tensor of each kind, such as the query projection of the first layer.

    Large ones are left out, because their singular directions take minutes.
    """
    chosen: dict[str, MergeUnit] = {}
    for unit in layout.units:
        numbers = sum(torch.Size(layout.shapes[name]).numel() for name in unit.names)
        if numbers <= _MOST_NUMBERS:
            chosen.setdefault(re.sub(r"\d+", "#", unit.loaded[0]), unit)
    return list(chosen.values())
