"""The journal of a run: append-only, one fsynced line per record; all else is derived from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.journal_lines import encode, end_of_last_line
from mergekit_cycleqd.run_folder.journal_reading import FILE, VERSION, read_header, read_records
from mergekit_cycleqd.run_folder.record import Means, Record
from mergekit_cycleqd.run_folder.resume_check import differences
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
    """

    path: Path
    header: Mapping[str, Any]
    _means: Means = field(default_factory=Means)
    _stream: IO[bytes] | None = None
    _lock: FileLock | None = None

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
            lock = locked(folder)
        except OSError as error:
            raise JournalError(
                f"{folder}: cannot hold a run: {error.strerror}; choose another --out"
            ) from error
        journal = cls(folder / FILE, {"version": VERSION, **header}, _lock=lock)
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
        self._stream = self.path.open("ab")
        if not end:
            self._stream.truncate(0)
            self._write({"kind": "header", **self.header})
            _sync_folder(self.path.parent)
            return
        was = read_header(self.path.parent)
        if found := list(differences(was, self.header)):
            raise JournalError(
                f"{self.path.parent}: holds another run; choose another --out, or undo:\n"
                + "\n".join(found)
            )
        self._stream.truncate(end)

    def replay(self, family: Family) -> Iterator[Outcome]:
        """What the search was told before, line by line; read it to the end once.

        An expert that failed is left out, to be tried again.

        Args:
            family: What the genomes refer to.

        Raises:
            JournalError: If a line is damaged.
        """
        for record in read_records(self.path, family):
            self._means.add(record)
            if record.told is not None:
                yield record.told

    def append(self, record: Record) -> None:
        """Keep a record; when this returns, it is on disk.

        Raises:
            JournalError: If it cannot be written, as on a full disk; what was written before is
                safe, and half a line is dropped by who goes on.
        """
        self._write(record.to_json())
        self._means.add(record)

    def _write(self, content: Mapping[str, Any]) -> None:
        assert self._stream is not None
        try:
            self._stream.write(encode(content))
            self._stream.flush()
            os.fsync(self._stream.fileno())
        except OSError as error:
            raise JournalError(
                f"{self.path}: cannot be written: {error.strerror}; mend that and run the same "
                "command: nothing that was evaluated before is lost"
            ) from error

    def close(self) -> None:
        """Give the run folder free."""
        if self._stream is not None:
            with suppress(OSError):  # of a line that could not be written, as was said
                self._stream.close()
        if self._lock is not None:
            self._lock.release()

    def scores(self, genome: Genome, split: Split) -> Scores | None:
        """The scores of a genome on a split, if it was evaluated; means if more than once."""
        return self._means.scores.get((genome.id, split))


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


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
