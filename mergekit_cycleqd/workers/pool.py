"""Who evaluates: one process, several, or a cluster; genomes go out and scores come back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.early_stop import EntryThresholds


class WorkerError(CycleQDError):
    """Workers that cannot be had, or that are all lost."""


@dataclass(frozen=True, slots=True)
class Job:
    """One evaluation to be done.

    Attributes:
        genome: The model.
        split: On which samples.
        candidate: The candidate of the search that it is; None for models that are only compared.
        floors: What it has to reach; None where it is evaluated to the end in any case.
    """

    genome: Genome
    split: Split
    candidate: Candidate | None = None
    floors: EntryThresholds | None = None

    @property
    def repeat(self) -> int:
        """0 for a model's first evaluation; later ones are counted from 1."""
        return self.candidate.repeat if self.candidate else 0

    @property
    def name(self) -> str:
        """The job in a message."""
        return f"candidate {self.candidate.index}" if self.candidate else f"model {self.genome.id}"


class Pool(ABC):
    """Takes jobs and gives back their records, in whatever order they end."""

    @property
    @abstractmethod
    def free(self) -> int:
        """How many jobs may be submitted now."""

    @property
    @abstractmethod
    def state(self) -> str:
        """Its workers in a few words; nothing where there is but this process."""

    @abstractmethod
    def submit(self, job: Job) -> None:
        """Take one more job, while any is `free`."""

    @abstractmethod
    def wait(self) -> list[Record]:
        """Wait until something came of a job, or of a worker.

        Returns:
            Records of what ended; may be none, while jobs are under way.

        Raises:
            ModelError: If the models of the run cannot be loaded at all.
            WorkerError: If no worker is left.
        """

    @abstractmethod
    def close(self) -> None:
        """End all workers."""
