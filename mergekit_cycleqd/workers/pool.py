"""The interface of a run's workers: jobs go out, records with scores come back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.early_stop import EntryThresholds
from mergekit_cycleqd.search.fidelity.asking import Asking


class WorkerError(CycleQDError):
    """Workers cannot be started, or all of them are lost."""


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation to do.

    Attributes:
        genome: The model.
        split: The split whose samples are used.
        candidate: The search's candidate with this genome; None for a model that is only compared.
        thresholds: Scores that the candidate must reach to enter an archive, for the early stop;
            None to evaluate all samples.
        asking: How far the candidate is asked, for adaptive fidelity; None for all samples.
        likely: Whether it is first shown the experts' right answers.
    """

    genome: Genome
    split: Split
    candidate: Candidate | None = None
    thresholds: EntryThresholds | None = None
    asking: Asking | None = None
    likely: bool = False

    @property
    def repeat(self) -> int:
        """Number of the repeat: 0 for a model's first evaluation."""
        return self.candidate.repeat if self.candidate else 0

    @property
    def name(self) -> str:
        """The job's name in messages."""
        return f"candidate {self.candidate.index}" if self.candidate else f"model {self.genome.id}"


class Pool(ABC):
    """Takes jobs and gives back their records, in the order in which they end."""

    @property
    @abstractmethod
    def free(self) -> int:
        """Number of jobs that may be submitted now."""

    @property
    @abstractmethod
    def state(self) -> str:
        """The workers in a few words; empty if this process is the only one."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take one more job; allowed while `free` is not 0."""

    @abstractmethod
    def wait(self) -> list[Record]:
        """Wait until a job ends, or the state of a worker changes.

        Returns:
            Records of the jobs that ended; may be empty while jobs are under way.

        Raises:
            ModelError: If the models of the run cannot be loaded at all.
            WorkerError: If no worker is left.
        """

    @abstractmethod
    def close(self) -> None:
        """End all workers, and release what they hold."""
