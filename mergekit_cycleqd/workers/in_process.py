"""Evaluate in this process, one genome at a time."""

from __future__ import annotations

from collections import deque

from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.workers.pool import Job, Pool
from mergekit_cycleqd.workers.worker import Evaluator


class InProcess(Pool):
    """This process alone: a job is done when it is waited for."""

    def __init__(self, evaluator: Evaluator) -> None:
        """Evaluate with `evaluator`."""
        self.evaluator = evaluator
        self._jobs: deque[Job] = deque()

    @property
    def free(self) -> int:
        """One, or none."""
        return 1 - len(self._jobs)

    @property
    def state(self) -> str:
        """Empty: there is nothing to tell of this process."""
        return ""

    def submit(self, job: Job) -> None:
        """Take a job, which `wait` does."""
        self._jobs.append(job)

    def wait(self) -> list[Record]:
        """Do the job that was submitted."""
        return [self.evaluator.evaluate(self._jobs.popleft(), "local")]

    def close(self) -> None:
        """Give free what the engine holds outside this process."""
        self.evaluator.close()
