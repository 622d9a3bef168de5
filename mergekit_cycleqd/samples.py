"""Sets of sample ids, as recipes write them: ``0-199``, ``200-``, ``0-9,20-29`` or a list."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

_SPAN = re.compile(r"(\d{1,12})(?:(-)(\d{1,12})?)?")


@dataclass(frozen=True)
class SampleIds:
    """Document numbers of a task's evaluation split, counted from 0.

    Attributes:
        spans: Pairs of first and last number, both included; last is None for "to the end".
    """

    spans: tuple[tuple[int, int | None], ...]

    @classmethod
    def parse(cls, value: Any) -> SampleIds:
        """Read the text or the list of numbers of a recipe.

        Raises:
            ValueError: If it is neither, is empty, or runs backwards.
        """
        if isinstance(value, list | tuple):
            if not value or not all(type(v) is int and v >= 0 for v in value):
                raise ValueError(f"must be a range such as 0-199 or a list of ids, got {value!r}")
            return cls(tuple((v, v) for v in sorted(set(value))))
        spans: list[tuple[int, int | None]] = []
        for part in str(value).split(","):
            match = _SPAN.fullmatch(part.strip())
            if match is None:
                raise ValueError(f"must be ids such as 0-199, 200- or 0-9,20-29, got {value!r}")
            first, dash, last = match.groups()
            spans.append((int(first), int(last) if last else None if dash else int(first)))
        for first_id, last_id in spans:
            if last_id is not None and last_id < first_id:
                raise ValueError(f"is empty: {first_id}-{last_id} runs backwards")
        return cls(tuple(spans))

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return ",".join(
            f"{first}-" if last is None else str(first) if first == last else f"{first}-{last}"
            for first, last in self.spans
        )

    def first_shared(self, other: SampleIds) -> int | None:
        """The smallest number that stands in both sets, or None."""
        shared = [
            max(a[0], b[0])
            for a in self.spans
            for b in other.spans
            if max(a[0], b[0]) <= min(_end(a), _end(b))
        ]
        return min(shared, default=None)

    def resolve(self, documents: int) -> list[int]:
        """The numbers themselves, ascending, for a task with so many documents.

        Raises:
            ValueError: If one lies beyond the task's last document, or none is left.
        """
        ids: set[int] = set()
        for first, last in self.spans:
            if first >= documents or (last is not None and last >= documents):
                raise ValueError(
                    f"reaches beyond the task's {documents} documents (ids 0-{documents - 1}), "
                    f"got {self}"
                )
            ids.update(range(first, documents if last is None else last + 1))
        return sorted(ids)


def _end(span: tuple[int, int | None]) -> float:
    return math.inf if span[1] is None else span[1]
