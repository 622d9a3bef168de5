"""The interface of a tracker, and the identity by which it knows a run again."""

from __future__ import annotations

import json
import re
import secrets
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.system.atomic_write import write_atomically
from mergekit_cycleqd.trackers.values import Row

PROJECT = "mergekit-cycleqd"


FILE = "tracker.json"


class TrackerError(CycleQDError):
    """A tracker that cannot be had."""


@dataclass(frozen=True)
class Identity:
    """By what a tracker knows a run again.

    Attributes:
        id: Eight hex digits, kept in the run folder.
        folder: The run folder.
    """

    id: str
    folder: Path

    @classmethod
    def of(cls, folder: Path) -> Identity:
        """The identity that is kept in a run folder, or a new one."""
        path = folder / FILE
        try:
            kept = json.loads(path.read_text(encoding="utf-8"))["id"]
            return cls(re.fullmatch(r"[0-9a-f]{8}", kept)[0], folder)  # type: ignore[index]
        except (OSError, ValueError, KeyError, TypeError):
            made = cls(secrets.token_hex(4), folder)
            write_atomically(path, json.dumps({"id": made.id}) + "\n")
            return made

    @property
    def name(self) -> str:
        """What people see: the folder's name, and the id."""
        return f"{self.folder.resolve().name}-{self.id}"


class Sink(ABC):
    """One run in one tracker."""

    @abstractmethod
    def log(self, values: Mapping[str, float], step: int) -> None:
        """Log numbers of a step, which only rises."""

    @abstractmethod
    def table(self, columns: Sequence[str], rows: Sequence[Row], step: int) -> None:
        """Log the table of models."""

    @abstractmethod
    def close(self) -> None:
        """Write all that was logged."""
