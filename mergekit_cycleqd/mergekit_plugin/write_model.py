"""Write a genome's model without mergekit, for models that mergekit does not merge as a whole.

Every tensor of the loaded model is merged. The files have the base's names and dtypes, so that they
load as the base does.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.genome_tensors import genome_tensor
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.tensor_readers import tensor_reader, whole_reader
from mergekit_cycleqd.checkpoints.model_files import copy_texts, write_config, write_index
from mergekit_cycleqd.genome.genome import Genome


@torch.no_grad()
def write_model(
    genome: Genome,
    layout: MergeLayout,
    experts: Sequence[Checkpoint],
    out: Path,
    *,
    device: str,
    shard_numbers: int,
) -> None:
    """Write the weights of a genome's model, and copy all other files of the base.

    Args:
        genome: The model.
        layout: The tensors of the base.
        experts: The experts, in the order of the genome's weights.
        out: An empty folder.
        device: Device of the arithmetic.
        shard_numbers: Largest count of numbers in a file of weights. One file is held in memory.

    Raises:
        ModelError: If a checkpoint lacks a tensor, or a tensor is not finite.
    """
    base, names = layout.base, {stored: name for name, stored in layout.stored_names().items()}
    read = whole_reader(layout, base)
    others = [tensor_reader(layout, expert) for expert in experts]
    dtype = genome.family.out_dtype or genome.family.dtype

    def tensor(stored: str) -> Tensor:
        if stored not in names:
            return base.tensor(stored)
        start = read(names[stored])
        merged = genome_tensor(names[stored], genome, start.to(device), others)
        return merged.to("cpu", getattr(torch, dtype) if dtype else start.dtype).contiguous()

    sizes = {stored: torch.Size(layout.shapes[name]).numel() for stored, name in names.items()}
    for name in layout.unmerged_names():
        sizes[name] = torch.Size(base.headers[name].shape).numel()
    _save(out, list(_shards(sizes, shard_numbers)), tensor)
    copy_texts(base.folder, out)
    if dtype:
        write_config(out, base.config, dtype)


def _shards(sizes: Mapping[str, int], most: int) -> Iterator[list[str]]:
    """Group names in their order, so that each group has at most so many numbers, or one name."""
    group: list[str] = []
    held = 0
    for name, size in sizes.items():
        if group and held + size > most:
            yield group
            group, held = [], 0
        group.append(name)
        held += size
    yield group


def _save(out: Path, shards: Sequence[Sequence[str]], tensor: Callable[[str], Tensor]) -> None:
    """Write safetensors files, and an index if there are several."""
    count, size = len(shards), 0
    files: dict[str, str] = {}
    for number, names in enumerate(shards, start=1):
        whole = count == 1
        file = "model.safetensors" if whole else f"model-{number:05}-of-{count:05}.safetensors"
        tensors = {name: tensor(name) for name in names}
        save_file(tensors, out / file, metadata={"format": "pt"})
        size += sum(each.nbytes for each in tensors.values())
        files |= dict.fromkeys(names, file)
    if count > 1:
        write_index(out, files, size)
