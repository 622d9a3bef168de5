"""The journal of a run: append-only, one fsynced line per record; all else is derived from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.fit_record import FitRecord
from mergekit_cycleqd.run_folder.journal_lines import end_of_last_line
from mergekit_cycleqd.run_folder.journal_reading import (
    FILE,
    FULL,
    VERSION,
    asked_in,
    read_header,
    read_records,
)
from mergekit_cycleqd.run_folder.links import refuse_links
from mergekit_cycleqd.run_folder.means import Means
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.resume_check import differences
from mergekit_cycleqd.run_folder.sample_results import SampleResults
from mergekit_cycleqd.run_folder.spent import Spent
from mergekit_cycleqd.run_folder.synced_lines import SyncedLines
from mergekit_cycleqd.run_folder.task_lists import VERSION as LISTED
from mergekit_cycleqd.run_folder.task_lists import are_many, listed, tasks_in
from mergekit_cycleqd.search.candidate import Outcome
from mergekit_cycleqd.search.scores import Scores

LOCK = ".lock"


_START = b'{"kind":"header",'


@dataclass
class Journal:
    """The journal of one run folder; in memory are only the scores.

    Attributes:
        path: The file.
        header: What the run was started with: recipe, versions, fingerprints of the models.
        fits: The fits of founders that are known; after a `replay` all of them.
        samples: What each sample scored, of a run that was begun with its samples in the header.
        finds: What each model finds most likely, of a run with such a fidelity.
        spent: What the evaluations have cost; after a `replay` all of them.
    """

    path: Path
    header: Mapping[str, Any]
    fits: list[FitRecord] = field(default_factory=list)
    samples: SampleResults = field(default_factory=SampleResults)
    finds: SampleResults = field(default_factory=SampleResults)
    spent: Spent = field(default_factory=Spent)
    _means: Means = field(default_factory=Means)
    _lines: SyncedLines | None = None
    _lock: FileLock | None = None
    _full: bool = False
    _tasks: tuple[str, ...] = ()

    @classmethod
    def open(cls, folder: Path, header: Mapping[str, Any]) -> Journal:
        """Start the journal of a run folder, or go on with the one that is there.

        A last line that a crash tore is dropped.

        Args:
            folder: The run folder, made if need be.
            header: `recipe`, `fingerprints` and `versions` of this run.

        Raises:
            JournalError: If the folder is in use, or holds a run of another recipe or of other
                models.
        """
        try:
            if not (folder / FILE).exists() and _filled(folder):
                raise _foreign(folder)
            folder.mkdir(parents=True, exist_ok=True)
            refuse_links(folder)
            lock = locked(folder)
        except OSError as error:
            raise JournalError(
                f"{folder}: cannot hold a run: {error.strerror}; choose another --out"
            ) from error
        version = LISTED if are_many(header) else VERSION
        journal = cls(folder / FILE, {"version": version, **header}, _lock=lock)
        try:
            journal._start()
        except OSError as error:
            journal.close()
            raise JournalError(f"{journal.path}: cannot be used: {error.strerror}") from error
        except BaseException:
            journal.close()
            raise
        return journal

    def _start(self) -> None:
        end = end_of_last_line(self.path) if self.path.exists() else 0
        if not end and self.path.exists() and not _empty_or_torn(self.path):
            raise _foreign(self.path.parent)
        began = self.header
        if end:
            began = read_header(self.path.parent)
            if found := list(differences(began, self.header)):
                raise JournalError(
                    f"{self.path.parent}: holds another run; choose another --out, or undo:\n"
                    + "\n".join(found)
                )
        self._full, self._tasks = began["version"] == FULL, tasks_in(began, self.path)
        self._lines = SyncedLines(self.path)
        if not end:
            self._lines.append({"kind": "header", **self.header})
        asked = asked_in(began, self.path)
        self.samples, self.finds = SampleResults(asked), SampleResults(asked, "finds")

    def replay(self, family: Family) -> Iterator[Outcome]:
        """What the search was told before, line by line; read it to the end once.

        An expert that failed is left out, to be tried again.

        Args:
            family: What the genomes refer to.

        Raises:
            JournalError: If a line is damaged.
        """
        for record in read_records(self.path, family, self.fits.append):
            self._add(record)
            if record.told is not None:
                yield record.told

    def append(self, record: Record) -> None:
        """Keep a record; when this returns, it is on disk.

        Raises:
            JournalError: If it cannot be written, as on a full disk; what was written before is
                safe, and half a line is dropped by who goes on.
        """
        assert self._lines is not None
        if self.samples.asked is None and record.samples:  # as when the run began
            record = replace(record, samples=None, finds=None)
        self._lines.append(self.line_of(record))
        self._add(record)

    def line_of(self, record: Record) -> dict[str, Any]:
        """A record in the form of this journal."""
        content = record.to_json() if self._full else record.to_line()
        return listed(content, self._tasks) if self._tasks else content

    def append_fit(self, record: FitRecord) -> None:
        """Keep a fit; when this returns, it is on disk.

        Raises:
            JournalError: As `append` does.
        """
        assert self._lines is not None
        self._lines.append(record.to_json())
        self.fits.append(record)

    def close(self) -> None:
        """Give the run folder free."""
        if self._lines is not None:
            self._lines.close()
        if self._lock is not None:
            self._lock.release()

    def scores(self, genome: Genome, split: Split) -> Scores | None:
        """The scores of a genome on a split, if it was evaluated; means if more than once."""
        return self._means.get((genome.id, split))

    def _add(self, record: Record) -> None:
        again = record.candidate is not None and record.candidate.again is not None
        self._means.add(record.genome_id, record.split, record.scores, again=again)
        self.samples.add(record)
        self.finds.add(record)
        self.spent.add(record)


def locked(folder: Path) -> FileLock:
    """The lock of a run folder, taken; give it back by `release`, or as a context.

    Raises:
        JournalError: If another process has it.
    """
    path = folder / LOCK
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        holder = path.read_text(errors="replace").strip()
        raise JournalError(
            f"{folder}: is in use by another process ({holder or 'unknown'}); wait for it or end it"
        ) from None
    path.write_text(f"pid {os.getpid()}\n")
    return lock


def _filled(folder: Path) -> bool:
    return folder.is_dir() and any(file.name != LOCK for file in folder.iterdir())


def _empty_or_torn(path: Path) -> bool:
    """Whether a journal without a whole line is what a crash left of a new one."""
    with path.open("rb") as stream:
        return _START.startswith(stream.read(len(_START)).rstrip(b"\0"))


def _foreign(folder: Path) -> JournalError:
    return JournalError(
        f"{folder}: is not empty and holds no run; choose a new or an empty folder as --out"
    )
