"""A pool of remote workers. If a worker is lost, its job is repeated and the worker replaced."""

from __future__ import annotations

import json
import statistics
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.workers.messages import FATAL, READY, job_message
from mergekit_cycleqd.workers.pool import Job, Pool, WorkerError

LOSSES = 3
"""Number of losses in a row after which a worker is dropped, or a job fails."""

_LONGEST_MEDIANS = 20.0
_LONGEST_SECONDS = 120.0
_FIRST = 30.0  # times as long for a worker's first job, which prepares what later ones use
_KNOWN = 5
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class WorkerLost:
    """Stands for an answer when the worker has ended.

    Attributes:
        why: What is known of the worker's end, on one line.
    """

    why: str


class Remote(ABC):
    """One worker outside this process. Messages and answers are texts.

    Attributes:
        name: The worker's name in messages.
    """

    name: str

    @abstractmethod
    def send(self, message: str) -> None:
        """Send a job. If the worker has ended, `Fleet.wait` reports it."""

    @abstractmethod
    def stop(self) -> None:
        """End the worker, whatever it is doing."""


class Fleet(ABC):
    """Starts workers, and waits for their answers."""

    @abstractmethod
    def start(self, number: int) -> Remote:
        """Start a worker. Its first answer is `READY`, or `FATAL` with a reason.

        Args:
            number: Number of the worker, from 1; a replacement has its predecessor's.
        """

    @abstractmethod
    def wait(
        self, remotes: Sequence[Remote], seconds: float
    ) -> list[tuple[Remote, str | WorkerLost]]:
        """Wait until some workers have answered or ended.

        Args:
            remotes: The workers that owe an answer.
            seconds: The longest wait.

        Returns:
            Workers with their answers; may be empty.
        """

    @abstractmethod
    def size(self) -> int:
        """Number of workers that there should be now."""

    def shortage(self) -> str | None:
        """Say what a worker needs and no machine has, for which it waits; None if nothing."""
        return None

    @abstractmethod
    def close(self) -> None:
        """Release what the workers ran on."""


@dataclass(eq=False)
class _WorkerSlot:
    """A place for one worker: the present worker, and the losses in this place.

    Attributes:
        number: Number of the place, from 1.
        remote: The present worker.
        ready: Whether the worker has answered `READY`.
        job: The job that the worker does; None if it is idle.
        since: Start of the job, in seconds of the monotonic clock.
        losses: Workers lost in a row in this place.
        done: Jobs that the present worker has finished.
    """

    number: int
    remote: Remote
    ready: bool = False
    job: Job | None = None
    since: float = 0.0
    losses: int = 0
    done: int = field(default=0)


class Crew(Pool):
    """A pool of remote workers."""

    def __init__(self, family: Family, fleet: Fleet, say: Callable[[str], None]) -> None:
        """Start the workers.

        Args:
            family: The family of the genomes.
            fleet: Starts the workers.
            say: Prints a line about a lost worker.
        """
        self._family = family
        self._fleet = fleet
        self._say = say
        self._slots: list[_WorkerSlot] = []
        self._waiting: deque[Job] = deque()
        self._lost_workers: dict[str, int] = {}  # how often each job has lost its worker
        self._seconds: deque[float] = deque(maxlen=200)
        self._dropped = 0
        self._numbers = 0
        self._lacking: str | None = None
        self._grow()

    @property
    def free(self) -> int:
        """Number of idle workers, minus the jobs that wait for one."""
        idle = sum(slot.ready and slot.job is None for slot in self._slots)
        return max(0, idle - len(self._waiting))

    @property
    def state(self) -> str:
        """Number of ready, starting and dropped workers, and the longest job, in words."""
        ready = [slot for slot in self._slots if slot.ready]
        words = [f"{len(ready)} of {len(self._slots)} workers"]
        if len(ready) < len(self._slots):
            words.append(f"{len(self._slots) - len(ready)} starting")
        if self._dropped:
            words.append(f"{self._dropped} dropped")
        if begun := [slot.since for slot in ready if slot.job is not None]:
            words.append(f"longest at work {time.monotonic() - min(begun):.0f} s")
        return ", ".join(words)

    def submit(self, job: Job) -> None:
        """Give a job to the next idle worker."""
        self._waiting.append(job)
        self._hand_out()

    def wait(self) -> list[Record]:
        """Wait for answers. Start new workers, and replace those that are lost or hung."""
        self._grow()
        remotes = {slot.remote: slot for slot in self._slots if slot.job or not slot.ready}
        if not remotes:
            if self._waiting:
                self._hand_out()
            return []
        records = []
        self._tell_shortage()
        for remote, answer in self._fleet.wait(list(remotes), _LOOK_SECONDS):
            slot = remotes[remote]
            if isinstance(answer, WorkerLost):
                records += self._lose(slot, f"was lost ({answer.why})")
            elif answer.startswith(FATAL):
                raise ModelError(answer.removeprefix(FATAL))
            elif answer == READY:
                slot.ready = True
            else:
                records.append(self._take(slot, answer))
        limit = self._limit()
        for slot in self._slots:
            longest = limit if slot.done else _FIRST * limit
            if slot.job and time.monotonic() - slot.since > longest:
                records += self._lose(slot, f"hung: no answer in {longest:.0f} s")
        self._hand_out()
        return records

    def close(self) -> None:
        """End all workers, and release what they ran on."""
        for slot in self._slots:
            slot.remote.stop()
        self._fleet.close()

    def _tell_shortage(self) -> None:
        """Say once what all workers wait for, as long as none is ready."""
        if any(slot.ready for slot in self._slots):
            return
        lacking = self._fleet.shortage()
        if lacking is not None and lacking != self._lacking:
            self._say(f"{lacking}; the run waits for a machine that has it, Ctrl-C ends it")
        self._lacking = lacking

    def _grow(self) -> None:
        for _ in range(self._fleet.size() - self._dropped - len(self._slots)):
            self._numbers += 1
            self._slots.append(_WorkerSlot(self._numbers, self._fleet.start(self._numbers)))

    def _hand_out(self) -> None:
        for slot in self._slots:
            if self._waiting and slot.ready and slot.job is None:
                slot.job = self._waiting.popleft()
                slot.since = time.monotonic()
                slot.remote.send(job_message(slot.job))

    def _take(self, slot: _WorkerSlot, answer: str) -> Record:
        assert slot.job is not None
        job = slot.job
        self._lost_workers.pop(job.name + job.split, None)
        slot.job, slot.losses = None, 0
        slot.done += 1
        record = Record.from_json(json.loads(answer), self._family)
        if record.candidate == job.candidate:  # and this one knows how it was made
            record = replace(record, candidate=job.candidate)
        self._seconds.append(record.seconds)
        return record

    def _limit(self) -> float:
        """Seconds after which an evaluation counts as hung; infinite before `_KNOWN` results."""
        if len(self._seconds) < _KNOWN:
            return float("inf")
        return max(_LONGEST_SECONDS, _LONGEST_MEDIANS * statistics.median(self._seconds))

    def _lose(self, slot: _WorkerSlot, what: str) -> list[Record]:
        """Replace or drop a worker. Its job goes to another worker, or fails for good."""
        slot.remote.stop()
        job, slot.job, slot.ready = slot.job, None, False
        slot.losses += 1
        message = f"worker {slot.remote.name} {what}"
        if slot.losses < LOSSES:
            slot.remote = self._fleet.start(slot.number)
            slot.done = 0
            message += "; another takes its place"
        else:
            self._slots.remove(slot)
            self._dropped += 1
            message += f", for the {LOSSES}rd time in a row: it is dropped"
        records = [] if job is None else self._put_back(job, what)
        self._say(message if job is None or records else f"{message}, and {job.name} starts anew")
        if not self._slots:
            raise WorkerError(f"no worker is left; the last one {what}; see what it printed")
        return records

    def _put_back(self, job: Job, what: str) -> list[Record]:
        key = job.name + job.split
        self._lost_workers[key] = self._lost_workers.get(key, 0) + 1
        if self._lost_workers[key] < LOSSES:
            self._waiting.appendleft(job)
            return []
        error = f"{LOSSES} workers in a row broke over it; the last one {what}"
        return [Record(job.genome, job.split, None, job.candidate, error=error, worker="none")]
