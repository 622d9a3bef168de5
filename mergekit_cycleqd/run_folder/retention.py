"""What a run's models kept of the base: scores on other tasks, in a file beside the journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.links import refuse_links
from mergekit_cycleqd.run_folder.score import Score, Z
from mergekit_cycleqd.run_folder.synced_lines import SyncedLines, read_lines

FILE = "retention.jsonl"


@dataclass(frozen=True, slots=True)
class Measured:
    """One model's scores on one task.

    Attributes:
        genome: Id of the model's genome.
        task: Name of the lm-eval task or group.
        settings: All that the scores depend on besides the genome: samples, few-shot examples,
            contents of the task, engine, versions.
        scores: Value and standard error by metric and filter, as lm-eval names them; the error is
            None where lm-eval has none.
        metric: Which of them is shown.
        higher_is_better: Whether that metric is.
        samples: How many documents the scores rest on.
        seconds: Wall time of the evaluation.
    """

    genome: str
    task: str
    settings: Mapping[str, Any]
    scores: Mapping[str, tuple[float, float | None]]
    metric: str
    higher_is_better: bool
    samples: int
    seconds: float

    @property
    def key(self) -> str:
        """16 hex digits of genome, task and settings: what is evaluated only once."""
        return key(self.genome, self.task, self.settings)

    @property
    def error(self) -> float | None:
        """The standard error of the shown metric."""
        return self.scores[self.metric][1]

    @property
    def score(self) -> Score:
        """The shown metric with its 95 % interval.

        It is Wilson's where the value is a share of the samples, else the normal one of the
        standard error, if there is one.
        """
        value, error = self.scores[self.metric]
        score = Score.of(value, self.samples)
        if score.interval is not None or error is None:
            return score
        return Score(value, self.samples, (value - Z * error, value + Z * error))


_MEASURED = TypeAdapter(Measured)


def key(genome: str, task: str, settings: Mapping[str, Any]) -> str:
    """As `Measured.key`, before there are scores."""
    content = json.dumps([genome, task, settings], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class Column:
    """What is known of one task under one choice of settings.

    Attributes:
        task: Its name.
        metric: The shown metric.
        higher_is_better: Whether it is.
        samples: How many documents every score rests on.
        measured: By genome id.
        prompts: What the prompts are beside the bare tasks, in a word each.
    """

    task: str
    metric: str
    higher_is_better: bool
    samples: int
    measured: Mapping[str, Measured]
    prompts: tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Such as ``gsm8k (n=1319, 5-shot)``; a metric that is better when lower is marked."""
        notes = [f"n={self.samples}", *([] if self.higher_is_better else ["lower is better"])]
        return f"{self.task} ({', '.join([*notes, *self.prompts])})"

    def relative(self, genome: str, base: str) -> float | None:
        """A model's score in units of the base's (paper, table of retention); above 1 is better.

        Args:
            genome: Id of the model.
            base: Id of the base.

        Returns:
            None where either was not evaluated, or the base scores 0. Where lower is better, it is
            the base's score in units of the model's.
        """
        if genome not in self.measured or base not in self.measured:
            return None
        pair = [self.measured[each].score.value for each in (genome, base)]
        above, below = pair if self.higher_is_better else reversed(pair)
        return above / below if below > 0 else None


def columns(records: Sequence[Measured]) -> list[Column]:
    """A column per task, in the order of their first records.

    A column is of one choice of settings, so that no two of its scores are of different samples or
    versions: the one of most samples, and of these the last.
    """
    shown: dict[str, Measured] = {}
    for record in records:
        if record.task not in shown or record.samples >= shown[record.task].samples:
            shown[record.task] = record
    table = []
    for task, record in shown.items():
        alike = [each for each in records if (each.task, each.settings) == (task, record.settings)]
        measured = {each.genome: each for each in alike}
        about = (task, record.metric, record.higher_is_better, record.samples)
        table.append(Column(*about, measured, tuple(_prompts(record.settings))))
    return table


def _prompts(settings: Mapping[str, Any]) -> Iterator[str]:
    """Name the examples, the chat template and what else changes prompts among settings."""
    shots = settings.get("shots")
    if isinstance(shots, list) and any(shots):
        yield f"{'/'.join(map(str, shots))}-shot"
    if settings.get("chat_template"):
        yield "chat template"
    if settings.get("system_instruction"):
        yield "system prompt"
    if settings.get("gen_kwargs"):
        yield ", ".join(f"{key}={value}" for key, value in settings["gen_kwargs"].items())


def comparable(table: Sequence[Column], base: str) -> list[Column]:
    """The columns on which the base scores more than 0, so that others can be relative to it."""
    return [column for column in table if column.relative(base, base) is not None]


def mean_relative(table: Sequence[Column], genome: str, base: str) -> float | None:
    """The mean of a model's relative scores over what is comparable; None where one is missing."""
    found = [column.relative(genome, base) for column in comparable(table, base)]
    known = [value for value in found if value is not None]
    return sum(known) / len(known) if known and len(known) == len(found) else None


def read(folder: Path) -> list[Measured]:
    """All records of a run folder; a torn last line is left out.

    Raises:
        JournalError: If a line is damaged.
    """
    path = folder / FILE
    return list(read_lines(path, _record)) if path.exists() else []


def _record(content: Mapping[str, Any]) -> Measured:
    try:
        record = _MEASURED.validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        raise ValueError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if record.metric not in record.scores:
        raise ValueError(f"it has no score {record.metric}")
    return record


def changed_settings(
    folder: Path, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]
) -> bytes:
    """The content of a run folder's file with other settings in each record.

    Args:
        folder: The run folder.
        change: Gives the settings instead of a record's.

    Raises:
        JournalError: If a line is damaged.
    """
    records = [replace(each, settings=change(each.settings)) for each in read(folder)]
    return b"".join(encode(asdict(each)) for each in records)


class RetentionFile:
    """The file, open for more records; one process at a time."""

    def __init__(self, folder: Path) -> None:
        """Open it, and drop a last line that a crash tore.

        Args:
            folder: The run folder, in which a run may be going on.

        Raises:
            CycleQDError: If another process has it open.
            JournalError: If a line is damaged.
        """
        refuse_links(folder)
        self._lock = FileLock(folder / f".{FILE}.lock", timeout=0)
        try:
            self._lock.acquire()
        except Timeout:
            raise CycleQDError(
                f"{folder}: another eval of this run is going on; wait for it or end it"
            ) from None
        try:
            self.records = read(folder)
            self._lines = SyncedLines(folder / FILE)
        except BaseException:
            self._lock.release()
            raise

    def append(self, record: Measured) -> None:
        """Keep a record; when this returns, it is on disk.

        Raises:
            JournalError: If it cannot be written.
        """
        self._lines.append(asdict(record))
        self.records.append(record)

    def close(self) -> None:
        """Give the file free."""
        self._lines.close()
        self._lock.release()
