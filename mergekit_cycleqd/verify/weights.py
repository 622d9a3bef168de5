"""Compare the weights of a model in memory with those of a merged folder."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.layout.foreign_config import without_adapters
from mergekit_cycleqd.checkpoints.layout.merge_layout import MergeLayout
from mergekit_cycleqd.checkpoints.layout.model_class import model_class
from mergekit_cycleqd.checkpoints.layout.tensor_readers import whole_reader
from mergekit_cycleqd.checkpoints.tensor_difference import TensorDifference
from mergekit_cycleqd.engines.resident_check import compare_resident
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import ModelError, first_names
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.merging.direction_cache import DirectionCache


class InMemory:
    """A genome's model in memory, as a run scores it.

    Attributes:
        layout: The tensors of the base.
    """

    def __init__(self, genome: Genome, base: Checkpoint, experts: Sequence[Checkpoint]) -> None:
        """Load base and experts on the CPU, and replace the weights by the genome's.

        Args:
            genome: The model.
            base: The base model.
            experts: The experts, in the order of the genome's weights.

        Raises:
            ModelError: If a model cannot be loaded.
        """
        self._genome, self._experts = genome, experts
        self._model = _load(base)
        resident = ResidentModel(self._model, base, experts, DirectionCache.default())
        self.layout: MergeLayout = resident.layout
        resident.load(genome)

    def compare_with_files(self) -> list[TensorDifference]:
        """Compare with the tensors that the files of base and experts give, as before a push."""
        layout = self.layout
        return compare_resident(layout, self._experts, layout.loaded, self._genome, layout.units)

    @torch.no_grad()
    def compare_with_folder(self, folder: Path) -> list[TensorDifference]:
        """Compare with a merged model, as transformers loads it.

        Raises:
            ModelError: If it cannot be loaded as a whole.
        """
        merged = _load(Checkpoint(str(folder), folder)).state_dict()
        start = whole_reader(self.layout, self.layout.base)
        return [
            TensorDifference.of(name, merged[name], self.layout.loaded[name], tensor)
            for unit in self.layout.units
            for name, tensor in unit.loaded_tensors(start).items()
        ]


def _load(checkpoint: Checkpoint) -> Any:
    """Load a model by the class that it names.

    Raises:
        ModelError: If transformers cannot load it, or had to make up weights.
    """
    try:
        made_by = model_class(checkpoint.config, trust=False)
        with without_adapters():
            model, told = made_by.kind.from_pretrained(
                checkpoint.folder, dtype="auto", output_loading_info=True
            )
    except (OSError, RuntimeError, ValueError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ModelError(f"{checkpoint.name}: transformers cannot load it: {reason}") from error
    if lacking := sorted(told["missing_keys"]):
        raise ModelError(f"{checkpoint.name}: lacks {first_names(lacking)}")
    return model
