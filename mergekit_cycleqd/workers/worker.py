"""The work of every worker: load a genome into the engine, and score it on the run's tasks."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.vocabulary.family_vocabulary import open_family
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.engines.open import open_engine
from mergekit_cycleqd.errors import CycleQDError, ModelError
from mergekit_cycleqd.evaluators.base import Harness, OwnAnswers, Scored
from mergekit_cycleqd.evaluators.open import open_harness
from mergekit_cycleqd.evaluators.stages import evaluate_in_stages
from mergekit_cycleqd.evaluators.task_errors import TaskError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.example_answers import Answer, SampleChoice
from mergekit_cycleqd.run_folder.example_masks import Example
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.sample_scores import pack
from mergekit_cycleqd.search.early_stop import CannotEnter
from mergekit_cycleqd.workers.pool import Job

if TYPE_CHECKING:
    from mergekit_cycleqd.engines.backward.learner import Learner
    from mergekit_cycleqd.evaluators.likely_answers import LikelyAnswers

ATTEMPTS = 3


class Evaluator:
    """Evaluates genomes in this process. The engine is opened for the first genome."""

    def __init__(
        self, recipe: Recipe, base: Checkpoint, experts: Sequence[Checkpoint], harness: Harness
    ) -> None:
        """Keep what the engine and the tasks need; nothing is loaded.

        Args:
            recipe: The run.
            base: The base model.
            experts: The experts, in the order of a genome's weights.
            harness: The run's tasks.
        """
        self._recipe = recipe
        self._checkpoints = (base, tuple(experts))
        self._harness = harness
        self._engine: ModelEngine | None = None
        self._verified = False
        self._likely: dict[str, LikelyAnswers] | None = None

    @classmethod
    def open(cls, recipe: Recipe) -> Evaluator:
        """Open models and tasks from the recipe alone, in a new process or on another machine.

        Raises:
            CycleQDError: If a model or a task cannot be opened here.
        """
        base, experts = open_family(recipe.family, recipe.engine.trust_remote_code)
        return cls(recipe, base, experts, open_harness(recipe))

    def evaluate(self, job: Job, worker: str) -> Record:
        """Score a genome. A failure is retried; after `ATTEMPTS` the record names the error.

        Args:
            job: The evaluation to do.
            worker: Name of the worker, for the record.

        Raises:
            ModelError: If the models of the run cannot be loaded at all.
        """
        engine = self._loaded()
        start = time.monotonic()
        scores, samples, error, bounds = None, None, None, None
        finds: dict[str, NDArray[np.float64]] = {}
        for _ in range(ATTEMPTS):
            try:
                shown = self._likely_answers() if job.likely else {}
                engine.load(job.genome)
                self._verify(engine, job.genome)
                finds = {task: each.finds(engine.model) for task, each in shown.items()}
                found = self._scored(engine.model, job, finds)
                scores, samples, error = dict(found), pack(found.samples), None
                break
            except CannotEnter as stop:
                samples, error, bounds = pack(stop.samples) or None, None, stop.bounds
                break
            except ModelError:
                raise
            except TaskError as fault:  # what a task's own code raises may pass, as of a server
                error = str(fault)
            except (
                CycleQDError
            ) as fault:  # the model's output cannot be scored: a retry would not help
                error = str(fault)
                break
            except Exception as fault:
                error = f"{type(fault).__name__}: {fault}"
        return Record(
            genome=job.genome,
            split=job.split,
            scores=scores,
            candidate=job.candidate,
            error=error,
            bounds=bounds,
            seconds=time.monotonic() - start,
            worker=worker,
            samples=samples,
            finds=pack(finds) or None,
        )

    def _likely_answers(self) -> dict[str, LikelyAnswers]:
        """The right answers of the first expert of each task that has one, taken once."""
        if self._likely is None:
            engine, found = self._loaded(), {}
            for task in self._recipe.task_names:
                for expert in self._recipe.experts_of(task)[:1]:
                    engine.load(Genome.from_expert(self._recipe.family, expert))
                    found[task] = self._harness.likely_answers(engine.model, task)
            self._likely = {task: each for task, each in found.items() if each and each.places}
        return self._likely

    def _scored(self, model: Any, job: Job, finds: Mapping[str, NDArray[np.float64]]) -> Scored:
        if job.asking is not None:
            return evaluate_in_stages(self._harness, model, job.asking.informed(finds))
        return self._harness.evaluate(model, job.split, job.thresholds, repeat=job.repeat)

    def examples(self, genome: Genome) -> list[Example]:
        """Run a model on a few samples, and draw its masks.

        Raises:
            ModelError: If the models of the run cannot be loaded at all.
        """
        engine = self._loaded()
        engine.load(genome)
        return self._harness.examples(engine.model)

    def own_answers(self, genome: Genome, task: str, *, fitted: bool) -> OwnAnswers:
        """Let a model answer a task: see `Harness.own_answers`.

        Args:
            genome: The model.
            task: Name of the task.
            fitted: Whether to take the samples of fits, and not those of the search.

        Raises:
            CycleQDError: If the models cannot be loaded, or the task breaks `ATTEMPTS` times.
        """
        engine = self._loaded()
        engine.load(genome)
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return self._harness.own_answers(engine.model, task, fitted=fitted)
            except TaskError:
                if attempt == ATTEMPTS:
                    raise
        raise AssertionError("the last attempt returns or raises")

    def learner(self) -> Learner:
        """Give what fits the weights of experts: see `ModelEngine.learner`.

        Raises:
            ModelError: If the models of the run cannot be loaded at all.
        """
        return self._loaded().learner()

    def answers(self, genome: Genome, ids: SampleChoice) -> list[Answer]:
        """Let a model answer a few samples of each task of text: see `Harness.answers`.

        Raises:
            ModelError: If the models of the run cannot be loaded at all.
        """
        engine = self._loaded()
        engine.load(genome)
        return self._harness.answers(engine.model, ids)

    def close(self) -> None:
        """Release what the engine holds outside this process."""
        if self._engine is not None:
            self._engine.close()

    def unload(self) -> None:
        """Release the models too, so that other processes have their memory."""
        from accelerate.utils.memory import clear_device_cache

        self.close()
        self._engine = None
        clear_device_cache(garbage_collection=True)

    def _verify(self, engine: ModelEngine, genome: Genome) -> None:
        """Check the first mutated model, before it is scored.

        Raises:
            ModelError: If it is not the one that its recipe describes.
        """
        if not self._verified and (genome.terms or genome.lineage):
            engine.verify(genome)
            self._verified = True

    def _loaded(self) -> ModelEngine:
        if self._engine is None:
            self._engine = open_engine(self._recipe.engine, *self._checkpoints)
        return self._engine
