"""Who evaluates: a worker owns one engine and scores one genome at a time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from mergekit_cycleqd.checkpoint import Checkpoint
from mergekit_cycleqd.errors import CycleQDError, ModelError
from mergekit_cycleqd.evaluators.lm_harness import LMHarness
from mergekit_cycleqd.genome import Genome
from mergekit_cycleqd.journal import Record, Split
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.search import Candidate

if TYPE_CHECKING:
    from mergekit_cycleqd.engines.hf import HFEngine

ATTEMPTS = 3


class LocalWorker:
    """Evaluates in this process; the model is loaded when the first genome comes."""

    def __init__(
        self, recipe: Recipe, base: Checkpoint, experts: Sequence[Checkpoint], harness: LMHarness
    ) -> None:
        """Prepare a worker.

        Args:
            recipe: The run.
            base: The base model.
            experts: The experts, in the order of a genome's weights.
            harness: The run's tasks.
        """
        self._recipe = recipe
        self._checkpoints = (base, tuple(experts))
        self._harness = harness
        self._engine: HFEngine | None = None

    def evaluate(self, genome: Genome, split: Split, candidate: Candidate | None = None) -> Record:
        """Score a genome; what breaks is tried again, and then said in the record.

        Raises:
            ModelError: If the models of the run cannot be loaded at all.
        """
        engine = self._loaded()
        start = time.monotonic()
        scores, error = None, None
        for _ in range(ATTEMPTS):
            try:
                engine.load(genome)
                scores, error = self._harness.evaluate(engine.lm, split), None
                break
            except ModelError:
                raise
            except CycleQDError as fault:  # what the model gives cannot be scored
                error = str(fault)
                break
            except Exception as fault:
                error = f"{type(fault).__name__}: {fault}"
        return Record(
            genome=genome,
            split=split,
            scores=scores,
            candidate=candidate,
            error=error,
            seconds=time.monotonic() - start,
        )

    def _loaded(self) -> HFEngine:
        if self._engine is None:
            from mergekit_cycleqd.engines.hf import HFEngine

            self._engine = HFEngine(self._recipe.engine, *self._checkpoints)
        return self._engine
