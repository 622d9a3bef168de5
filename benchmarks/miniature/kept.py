"""Scores that outlive a command: one file of lines beside a family's models.

A table that was stopped goes on where it was, and tables share what they score. Without the file
all is scored anew. A newline begins every line, so that half a line of a stopped command costs that
line alone.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

Scores = dict[str, float]


class Kept:
    """What was scored, by a checksum of the weights and the split."""

    def __init__(self, folder: Path, decided_by: Iterable[Path]) -> None:
        """Read what is known.

        Args:
            folder: Of the family.
            decided_by: The source files that decide the scores of given weights, less the
                libraries: with others, none of these scores is taken.
        """
        content = b"".join(file.read_bytes() for file in decided_by)
        self._file = folder / f"scores-{hashlib.sha256(content).hexdigest()[:8]}.jsonl"
        lines = self._file.read_text().splitlines() if self._file.is_file() else []
        self._known: dict[str, Scores] = {}
        for line in lines:
            with suppress(json.JSONDecodeError):  # a line that was stopped half-way
                self._known |= json.loads(line)

    def scores(self, weights: str, split: str, score: Callable[[], Scores]) -> Scores:
        """The scores of a checksum on a split, found by `score` if they are not known."""
        key = f"{weights} {split}"
        if key not in self._known:
            self._known[key] = score()
            with self._file.open("a") as file:
                file.write("\n" + json.dumps({key: self._known[key]}))
        return self._known[key]
