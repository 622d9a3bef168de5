"""The common part of engines that hold a model of transformers in this process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.engines.device import devices_of
from mergekit_cycleqd.engines.out_of_memory import MemoryGuard, OutOfMemory, describe_shortage
from mergekit_cycleqd.engines.resident_check import compare_resident, some_units
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.recipe.engine import Engine


class ResidentEngine(ModelEngine):
    """An engine with a model of transformers, whose weights are replaced in place."""

    def __init__(
        self,
        shown: Callable[[Engine, Checkpoint], Any],
        engine: Engine,
        base: Checkpoint,
        experts: Sequence[Checkpoint],
    ) -> None:
        """Load the base model and keep the experts' tensors beside it.

        Args:
            shown: Loads the object that tasks evaluate; its `model` is that of transformers.
            engine: The recipe's section.
            base: The base model.
            experts: The experts, in the order of a genome's weights.

        Raises:
            OutOfMemory: If they do not fit on the devices.
            ModelError: If a tensor is missing or not finite, or if `shown` raises it.
        """
        self._checkpoints = (base, tuple(experts))
        self._devices = devices_of(engine)
        with MemoryGuard() as guard:
            self.model = shown(engine, base)
            self._resident = ResidentModel(
                self.model.model, base, experts, DirectionCache.default()
            )
        if guard.ran_out is not None:
            raise OutOfMemory(self._does_not_fit("the models do", guard.ran_out))

    def load(self, genome: Genome) -> None:
        """Replace the weights by those of `genome`.

        If memory runs out, caches are released and the swap is tried once more. It starts from the
        base again, so that the first try leaves no trace.

        Raises:
            OutOfMemory: If memory runs out again.
        """
        for _ in range(2):
            with MemoryGuard() as guard:
                self._resident.load(genome)
                return
        raise OutOfMemory(self._does_not_fit("the weights of a genome do", str(guard.ran_out)))

    def verify(self, genome: Genome) -> None:
        """Compare some tensors in memory with those that the files of base and experts give.

        Raises:
            ModelError: If a tensor is another than the recipe describes.
        """
        layout = self._resident.layout
        base, experts = self._checkpoints
        for found in compare_resident(layout, experts, layout.loaded, genome, some_units(layout)):
            if not found.agrees:
                raise ModelError(
                    f"{base.name}: the model in memory is not the one that its recipe describes; "
                    f"tensor {found}. Please report this, with the output of "
                    "mergekit-cycleqd verify"
                )

    def _does_not_fit(self, what: str, reason: str) -> str:
        needed = describe_shortage(self._devices, *self._checkpoints)
        return f"{what} not fit in memory ({reason}): {needed}"
