"""A pool with one worker: this process evaluates one genome at a time."""

from __future__ import annotations

from collections import deque

from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.workers.pool import Job, Pool
from mergekit_cycleqd.workers.worker import Evaluator


class InProcess(Pool):
    """This process as the only worker. `wait` does the job.

    Attributes:
        evaluator: The engine and the tasks.
    """

    def __init__(self, evaluator: Evaluator) -> None:
        """Make a pool that evaluates with `evaluator`."""
        self.evaluator = evaluator
        self._jobs: deque[Job] = deque()

    @property
    def free(self) -> int:
        """1 if no job is waiting, else 0."""
        return 1 - len(self._jobs)

    @property
    def state(self) -> str:
        """An empty text, since there is nothing to report about this process."""
        return ""

    def submit(self, job: Job) -> None:
        """Take a job; `wait` will do it."""
        self._jobs.append(job)

    def wait(self) -> list[Record]:
        """Do the job that was submitted."""
        return [self.evaluator.evaluate(self._jobs.popleft(), "local")]

    def close(self) -> None:
        """Release what the engine holds outside this process."""
        self.evaluator.close()
