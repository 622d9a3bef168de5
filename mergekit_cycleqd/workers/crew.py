"""Workers that may be lost: jobs are put back, workers replaced, and in the end dropped."""

from __future__ import annotations

import json
import statistics
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.early_stop import EntryThresholds
from mergekit_cycleqd.workers.pool import Job, Pool, WorkerError

LOSSES = 3
"""So often in a row may a worker be lost before it is dropped, or a job lose its worker."""

READY = "ready"
FATAL = "fatal: "
_LONGEST_MEDIANS = 20.0
_LONGEST_SECONDS = 120.0
_KNOWN = 5
_LOOK_SECONDS = 5.0


@dataclass(frozen=True)
class WorkerLost:
    """Instead of an answer: the worker is no more.

    Attributes:
        why: What is known of its end, on one line.
    """

    why: str


class Remote(ABC):
    """One worker elsewhere. What it is sent and what it answers are lines of text."""

    name: str

    @abstractmethod
    def send(self, message: str) -> None:
        """Send a job; a worker that is gone shows in `Fleet.wait`."""

    @abstractmethod
    def stop(self) -> None:
        """End it, whatever it does."""


class Fleet(ABC):
    """Where workers come from."""

    @abstractmethod
    def start(self, number: int) -> Remote:
        """A new worker, which will answer `READY`, or `FATAL` and a reason, and then jobs."""

    @abstractmethod
    def wait(
        self, remotes: Sequence[Remote], seconds: float
    ) -> list[tuple[Remote, str | WorkerLost]]:
        """Wait until some of them answered or are gone, for so long."""

    @abstractmethod
    def size(self) -> int:
        """How many workers there should be now."""

    @abstractmethod
    def close(self) -> None:
        """Give back what the workers ran on."""


@dataclass(eq=False)
class _Place:
    """Where a worker is, and others were before it."""

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
            family: What the genomes refer to.
            fleet: Where workers come from.
            say: Tells the user what became of workers.
        """
        self._family = family
        self._fleet = fleet
        self._say = say
        self._places: list[_Place] = []
        self._again: deque[Job] = deque()
        self._lost: dict[str, int] = {}  # how often each job has lost its worker
        self._seconds: deque[float] = deque(maxlen=200)
        self._dropped = 0
        self._numbers = 0
        self._grow()

    @property
    def free(self) -> int:
        """Workers without a job, less the jobs that wait for one."""
        idle = sum(place.ready and place.job is None for place in self._places)
        return max(0, idle - len(self._again))

    @property
    def state(self) -> str:
        """How many are ready, of how many, and what is to be said of the others."""
        ready = [place for place in self._places if place.ready]
        words = [f"{len(ready)} of {len(self._places)} workers"]
        if len(ready) < len(self._places):
            words.append(f"{len(self._places) - len(ready)} starting")
        if self._dropped:
            words.append(f"{self._dropped} dropped")
        if begun := [place.since for place in ready if place.job is not None]:
            words.append(f"longest at work {time.monotonic() - min(begun):.0f} s")
        return ", ".join(words)

    def submit(self, job: Job) -> None:
        """Give it to the next worker that has none."""
        self._again.append(job)
        self._hand_out()

    def wait(self) -> list[Record]:
        """Wait for answers, and see to workers that are lost, hung or new."""
        self._grow()
        remotes = {place.remote: place for place in self._places if place.job or not place.ready}
        if not remotes:
            if self._again:
                self._hand_out()
            return []
        records = []
        for remote, answer in self._fleet.wait(list(remotes), _LOOK_SECONDS):
            place = remotes[remote]
            if isinstance(answer, WorkerLost):
                records += self._lose(place, f"was lost ({answer.why})")
            elif answer.startswith(FATAL):
                raise ModelError(answer.removeprefix(FATAL))
            elif answer == READY:
                place.ready = True
            else:
                records.append(self._take(place, answer))
        limit = self._limit()
        for place in self._places:
            if place.job and place.done and time.monotonic() - place.since > limit:
                records += self._lose(place, f"hung: no answer in {limit:.0f} s")
        self._hand_out()
        return records

    def close(self) -> None:
        """End all workers."""
        for place in self._places:
            place.remote.stop()
        self._fleet.close()

    def _grow(self) -> None:
        for _ in range(self._fleet.size() - self._dropped - len(self._places)):
            self._numbers += 1
            self._places.append(_Place(self._numbers, self._fleet.start(self._numbers)))

    def _hand_out(self) -> None:
        for place in self._places:
            if self._again and place.ready and place.job is None:
                place.job = self._again.popleft()
                place.since = time.monotonic()
                place.remote.send(_question(place.job))

    def _take(self, place: _Place, answer: str) -> Record:
        assert place.job is not None
        self._lost.pop(place.job.name + place.job.split, None)
        place.job, place.losses = None, 0
        place.done += 1
        record = Record.from_json(json.loads(answer), self._family)
        self._seconds.append(record.seconds)
        return record

    def _limit(self) -> float:
        """Seconds after which an evaluation counts as hung: the first of a worker never does."""
        if len(self._seconds) < _KNOWN:
            return float("inf")
        return max(_LONGEST_SECONDS, _LONGEST_MEDIANS * statistics.median(self._seconds))

    def _lose(self, place: _Place, what: str) -> list[Record]:
        """Replace or drop a worker; its job goes to another, or has failed for good."""
        place.remote.stop()
        job, place.job, place.ready = place.job, None, False
        place.losses += 1
        message = f"worker {place.remote.name} {what}"
        if place.losses < LOSSES:
            place.remote = self._fleet.start(place.number)
            place.done = 0
            message += "; another takes its place"
        else:
            self._places.remove(place)
            self._dropped += 1
            message += f", for the {LOSSES}rd time in a row: it is dropped"
        records = [] if job is None else self._put_back(job, what)
        self._say(message if job is None or records else f"{message}, and {job.name} starts anew")
        if not self._places:
            raise WorkerError(f"no worker is left; the last one {what}; see what it printed")
        return records

    def _put_back(self, job: Job, what: str) -> list[Record]:
        key = job.name + job.split
        self._lost[key] = self._lost.get(key, 0) + 1
        if self._lost[key] < LOSSES:
            self._again.appendleft(job)
            return []
        error = f"{LOSSES} workers in a row broke over it; the last one {what}"
        return [Record(job.genome, job.split, None, job.candidate, error=error, worker="none")]


def _question(job: Job) -> str:
    """A job as a worker is sent it."""
    content = Record(job.genome, job.split, None, job.candidate).to_json()
    if job.floors is not None:
        content["floors"] = job.floors.to_json()
    return json.dumps(content)


def answer(evaluate: Callable[[Job], Record], family: Family, message: str) -> str:
    """What a worker answers to a message: its side of the same protocol."""
    content = json.loads(message)
    asked = Record.from_json(content, family)
    floors = EntryThresholds.from_json(content["floors"]) if "floors" in content else None
    try:
        record = evaluate(Job(asked.genome, asked.split, asked.candidate, floors))
    except ModelError as error:
        return FATAL + str(error)
    return json.dumps(record.to_json())
