"""A run in an experiment tracker: what the display shows, logged beside the search.

The tracker works in a thread of its own, is fed copies of numbers, and may be slow, hang or break:
the search goes on, and loses nothing but what the tracker would have shown.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from pathlib import Path

from mergekit_cycleqd.run_folder.comparison import FindScores
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.secrets import secrets_struck_out
from mergekit_cycleqd.trackers.base import Identity, Sink
from mergekit_cycleqd.trackers.open import NONE, opener
from mergekit_cycleqd.trackers.values import candidate_values, model_rows, settings

OPEN_SECONDS = 60.0
CLOSE_SECONDS = 30.0

_Work = Callable[[Sink], None]


class Tracker:
    """Feeds a tracker from a queue, and drops it at its first failure."""

    def __init__(
        self, kind: str, search: CycleQD, folder: Path, say: Callable[[str], None]
    ) -> None:
        """Open the tracker, or with "none" do nothing at all.

        A run that goes on in its folder goes on in the tracker. Trackers print when they are opened
        and closed: do both while nothing is drawn on the terminal.

        Args:
            kind: Which tracker.
            search: The search, whose recipe is what the tracker calls the configuration.
            folder: The run folder.
            say: Tells the user if the tracker breaks; called by the caller's thread alone.
        """
        self._kind = kind
        self._search = search
        self._say = say
        self._fault: Exception | None = None
        self._queue: queue.SimpleQueue[_Work | None] = queue.SimpleQueue()
        self._opened = threading.Event()
        self._thread: threading.Thread | None = None
        if kind != NONE:
            make = opener(kind)
            identity = Identity.of(folder)
            config = settings(search.recipe)
            self._thread = threading.Thread(
                target=self._work, args=(lambda: make(identity, config),), daemon=True
            )
            self._thread.start()
            if not self._opened.wait(OPEN_SECONDS):
                self._drop(f"did not open in {OPEN_SECONDS:.0f} s")

    def candidate(self, record: Record) -> None:
        """Log a candidate that the search was just told."""
        if self._alive:
            step, values = self._search.told_count, candidate_values(record, self._search)
            self._queue.put(lambda sink: sink.log(values, step))

    def models(self, find: FindScores) -> None:
        """Log the table of models that ends a run.

        Args:
            find: Looks up the scores of a genome on a split.
        """
        if self._alive:
            step = self._search.told_count
            columns, rows = model_rows(self._search, find)
            self._queue.put(lambda sink: sink.table(columns, rows, step))

    def __enter__(self) -> Tracker:
        """The tracker itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Let the tracker finish."""
        self.close()

    def close(self) -> None:
        """Let the tracker finish what it was given, for a while."""
        if self._thread is None:
            return
        thread = self._thread
        self._queue.put(None)
        thread.join(CLOSE_SECONDS)
        if self._alive and thread.is_alive():
            self._drop(f"did not finish in {CLOSE_SECONDS:.0f} s")

    @property
    def _alive(self) -> bool:
        if self._thread is not None and self._fault is not None:
            reason = " ".join(secrets_struck_out(str(self._fault)).split())
            self._drop(f"broke: {type(self._fault).__name__}: {reason}")
        return self._thread is not None

    def _drop(self, why: str) -> None:
        self._thread = None
        self._say(f"tracker {self._kind} {why}; the run goes on without it")

    def _work(self, make: Callable[[], Sink]) -> None:
        try:
            sink = make()
            self._opened.set()
            while (work := self._queue.get()) is not None:
                work(sink)
            sink.close()
        except Exception as error:  # whatever it is, it is not worth the run
            self._fault = error
            self._opened.set()
