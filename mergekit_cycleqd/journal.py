"""The journal of a run: append-only, one fsynced line per record; all else is derived from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from filelock import FileLock, Timeout

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome import Family, Genome
from mergekit_cycleqd.journal_lines import decode, encode
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.records import Record, Split
from mergekit_cycleqd.search import Scores, Told

VERSION = 1
FILE = "journal.jsonl"


@dataclass
class Journal:
    """The journal of one run folder; in memory are only the scores.

    Attributes:
        path: The file.
        header: What the run was started with: recipe, versions, fingerprints of the models.
    """

    path: Path
    header: Mapping[str, Any]
    _scores: dict[tuple[str, Split], Scores] = field(default_factory=dict)
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
        folder.mkdir(parents=True, exist_ok=True)
        lock = _acquire(folder)
        journal = cls(folder / FILE, {"version": VERSION, **header}, _lock=lock)
        try:
            journal._start()
        except BaseException:
            journal.close()
            raise
        return journal

    def _start(self) -> None:
        self._stream = self.path.open("ab")
        self._stream.truncate(_end_of_last_line(self.path))
        if not self.path.stat().st_size:
            self._write({"kind": "header", **self.header})
            _sync_folder(self.path.parent)
            return
        was = read_header(self.path.parent)
        if differences := list(_differences(was, self.header)):
            raise JournalError(
                f"{self.path.parent}: holds another run; choose another --out, or undo:\n"
                + "\n".join(differences)
            )

    def replay(self, family: Family) -> Iterator[Told]:
        """What the search was told before, line by line; read it to the end once.

        An expert that failed is left out, to be tried again.

        Args:
            family: What the genomes refer to.

        Raises:
            JournalError: If a line is damaged.
        """
        for record in read_records(self.path, family):
            self._remember(record)
            if record.told is not None:
                yield record.told

    def _remember(self, record: Record) -> None:
        if record.scores is not None:
            self._scores[record.genome.id, record.split] = record.scores

    def append(self, record: Record) -> None:
        """Keep a record; when this returns, it is on disk."""
        self._write(record.to_json())
        self._remember(record)

    def _write(self, content: Mapping[str, Any]) -> None:
        assert self._stream is not None
        self._stream.write(encode(content))
        self._stream.flush()
        os.fsync(self._stream.fileno())

    def close(self) -> None:
        """Give the run folder free."""
        if self._stream is not None:
            self._stream.close()
        if self._lock is not None:
            self._lock.release()

    def scores(self, genome: Genome, split: Split) -> Scores | None:
        """The scores of a genome on a split, if it was evaluated."""
        return self._scores.get((genome.id, split))


def read_header(folder: Path) -> dict[str, Any]:
    """What the run in a folder was started with: `recipe`, `fingerprints`, `versions`.

    Raises:
        JournalError: If there is no run, or its first line is damaged.
    """
    path = folder / FILE
    try:
        with path.open("rb") as lines:
            header = decode(lines.readline(), path, 1)
    except OSError as error:
        raise JournalError(f"{folder}: needs a run, with its {FILE}: {error.strerror}") from None
    if header.get("kind") != "header" or header.get("version") != VERSION:
        raise JournalError(
            f"{path}: needs a header of version {VERSION}, got {header.get('version')!r}: take the "
            "version of mergekit-cycleqd that the run was started with"
        )
    return header


def read_recipe(folder: Path) -> Recipe:
    """The recipe that the run in a folder was started with.

    Raises:
        JournalError: If there is no run, or its first line is damaged or holds no recipe.
    """
    try:
        return Recipe.model_validate(read_header(folder)["recipe"])
    except (KeyError, ValueError) as error:
        reason = str(error).splitlines()[0]
        raise JournalError(f"{folder / FILE}: line 1 holds no recipe: {reason}") from None


def read_records(path: Path, family: Family) -> Iterator[Record]:
    """All records of a journal, line by line; a torn last line is left out.

    Args:
        path: The file.
        family: What the genomes refer to.

    Raises:
        JournalError: If a line is damaged.
    """
    with path.open("rb") as lines:
        next(lines)
        for number, line in enumerate(lines, start=2):
            if not line.endswith(b"\n"):
                return
            content = decode(line, path, number)
            try:
                yield Record.from_json(content, family)
            except (TypeError, ValueError, GenomeError, JournalError) as error:
                raise JournalError(f"{path}: line {number} is damaged: {error}") from None


def _acquire(folder: Path) -> FileLock:
    path = folder / ".lock"
    holder = path.read_text().strip() if path.exists() else ""
    lock = FileLock(path, timeout=0)
    try:
        lock.acquire()
    except Timeout:
        raise JournalError(
            f"{folder}: is in use by another process ({holder or 'unknown'}); wait for it or end it"
        ) from None
    path.write_text(f"pid {os.getpid()}\n")
    return lock


def _end_of_last_line(path: Path, block: int = 1 << 16) -> int:
    """Where the last whole line of a file ends, in bytes."""
    with path.open("rb") as stream:
        end = stream.seek(0, os.SEEK_END)
        while end > 0:
            start = max(0, end - block)
            stream.seek(start)
            newline = stream.read(end - start).rfind(b"\n")
            if newline >= 0:
                return start + newline + 1
            end = start
    return 0


def _differences(was: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    """What keeps a run from being resumed; more or fewer children do not."""
    before, after = _flat(was["recipe"], "recipe"), _flat(now["recipe"], "recipe")
    before |= _flat(was["fingerprints"], "models")
    after |= _flat(now["fingerprints"], "models")
    for key in sorted(before.keys() | after.keys()):
        if key != "recipe.evolution.children" and before.get(key) != after.get(key):
            yield f"  {key}: was {before.get(key)!r}, is {after.get(key)!r}"


def _flat(content: Any, prefix: str) -> dict[str, Any]:
    if isinstance(content, Mapping):
        items = ((f"{prefix}.{key}", value) for key, value in content.items())
    elif isinstance(content, list | tuple):
        items = ((f"{prefix}[{i}]", value) for i, value in enumerate(content))
    else:
        return {prefix: content}
    return {key: leaf for where, value in items for key, leaf in _flat(value, where).items()}


def _sync_folder(folder: Path) -> None:
    if os.name == "posix":
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
