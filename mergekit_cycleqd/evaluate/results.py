"""What `mergekit-cycleqd eval RUN` finds out, and where each part of it is kept."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from mergekit_cycleqd.evaluate.lm_eval_tasks import ScoredTask
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.choice import model_to_take
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes
from mergekit_cycleqd.run_folder.comparison import ModelTable, model_table
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.outputs import write_outputs
from mergekit_cycleqd.run_folder.paired_models import PairedScores
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.retention import Column, Measured, RetentionFile, columns, key
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_scores import pack
from mergekit_cycleqd.run_folder.verdict import rivals
from mergekit_cycleqd.search.scores import Scores


@dataclass(frozen=True)
class Job:
    """One model on one task.

    Attributes:
        name: The model's names.
        genome: The model.
        task: None for the holdout samples of the run's own tasks.
    """

    name: str
    genome: Genome
    task: ScoredTask | None

    def __str__(self) -> str:
        """The job in a message."""
        return f"{self.name} on {self.task.name if self.task else 'holdout samples'}"


class Results:
    """Scores on holdout samples, in the run's journal, and on other tasks, in their own file."""

    def __init__(
        self,
        run: RunView,
        harness: Harness | None,
        journal: Journal | None,
        kept: RetentionFile | None,
    ) -> None:
        """Start with what is known.

        Args:
            run: The run.
            harness: Its tasks, where holdout is asked for.
            journal: Its journal, open, where holdout is asked for.
            kept: The file of other tasks, where some are asked for.
        """
        self._run = run
        self._harness = harness
        self._journal = journal
        self._kept = kept
        self._found: dict[tuple[str, Split], Scores] = dict(run.found)
        self._keys = {record.key for record in kept.records} if kept else set()
        self._new = False

    def has(self, job: Job) -> bool:
        """Whether a job was done before, with the same settings."""
        if job.task is None:
            return (job.genome.id, "holdout") in self._found
        return key(job.genome.id, job.task.name, job.task.settings) in self._keys

    def evaluate(self, job: Job, model: Any) -> Callable[[], str]:
        """Do a job.

        Args:
            job: What to do.
            model: An engine's, with the job's genome in it.

        Returns:
            Keeps the result on disk and gives it in words; not to be interrupted.

        Raises:
            CycleQDError: If a task reports no number.
        """
        if job.task is not None:
            measured = job.task.evaluate(model, job.genome.id)
            return lambda: self._keep(measured)
        assert self._harness is not None
        start = time.monotonic()
        found = self._harness.evaluate(model, "holdout")
        seconds = time.monotonic() - start
        scores, samples = dict(found), pack(found.samples)
        record = Record(
            job.genome, "holdout", scores, seconds=seconds, worker="eval", samples=samples
        )
        return lambda: self._append(record, scores)

    def _keep(self, measured: Measured) -> str:
        assert self._kept is not None
        self._kept.append(measured)
        return f"{measured.metric} {measured.score}"

    def _append(self, record: Record, scores: Scores) -> str:
        assert self._journal is not None
        self._journal.append(record)
        self._run.samples.add(record)
        self._found[record.genome.id, "holdout"] = scores
        self._new = True
        return ", ".join(f"{task} {score:.3f}" for task, score in scores.items())

    def write(self) -> None:
        """Bring the run's derived files up to date, if there is anything new in its journal."""
        if self._new and self._harness is not None:
            sizes = {split: self._harness.sizes(split) for split in SPLITS}
            run = self._run
            write_outputs(run.folder, run.search, self._find, sizes, run.samples)

    def _find(self, genome: Genome, split: Split) -> Scores | None:
        return self._found.get((genome.id, split))

    def beside_others(self) -> str:
        """How the model to take compares with the best expert and the base; empty if not known."""
        run = self._run
        paired = PairedScores(run.search, self._find, run.samples)
        if self._harness is None or not paired.known:
            return ""
        taken = model_to_take(run.search, self._find)
        others = rivals(run.search, self._find, taken, "holdout")
        words = paired.in_words(taken.genome, others)
        return f"{taken.recipe}: {words}" if words else ""

    def others(self, tasks: Sequence[ScoredTask]) -> list[Column]:
        """What is known now of `tasks`, with the settings of this call."""
        known = self._kept.records if self._kept else []
        settings = {task.name: task.settings for task in tasks}
        return columns([each for each in known if settings.get(each.task) == each.settings])

    def holdout(self, models: NamedGenomes) -> ModelTable | None:
        """What is known now of the holdout samples; None where they are not asked for.

        Args:
            models: The models with their names.
        """
        if self._harness is None:
            return None
        sizes, recipe = self._harness.sizes("holdout"), self._run.recipe
        return model_table(
            models,
            list(sizes),
            "holdout",
            self._find,
            sizes,
            lower=recipe.minimised,
            repeated=recipe.repeated,
        ).standing_alone()
