"""Sets of sample ids, as recipes write them: ``0-199``, ``200-``, ``0-9,20-29`` or a list."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

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

    @classmethod
    def of(cls, numbers: Iterable[int]) -> SampleIds:
        """The set of these numbers, in as few spans as there can be."""
        spans: list[tuple[int, int]] = []
        for number in sorted(set(numbers)):
            if spans and spans[-1][1] == number - 1:
                spans[-1] = spans[-1][0], number
            else:
                spans.append((number, number))
        return cls(tuple(spans))

    def __str__(self) -> str:
        """The text that `parse` reads."""
        return ",".join(
            f"{first}-" if last is None else str(first) if first == last else f"{first}-{last}"
            for first, last in self.spans
        )

    @property
    def count(self) -> int | None:
        """How many numbers there are; None if they go on to the end of the task."""
        if any(last is None for _, last in self.spans):
            return None
        return sum(last - first + 1 for first, last in _joined(self.spans) if last is not None)

    def first_shared(self, other: SampleIds) -> int | None:
        """The smallest number that stands in both sets, or None."""
        ours, theirs = _joined(self.spans), _joined(other.spans)
        while ours and theirs:
            first = max(ours[-1][0], theirs[-1][0])
            if first <= min(_end(ours[-1]), _end(theirs[-1])):
                return first
            (ours if _end(ours[-1]) < first else theirs).pop()
        return None

    def first(self, count: int) -> SampleIds:
        """The smallest `count` numbers, of a task that has so many."""
        spans: list[tuple[int, int | None]] = []
        for first, last in reversed(_joined(self.spans)):
            taken = sum(end - start + 1 for start, end in spans if end is not None)
            if taken < count:
                spans.append((first, int(min(_end((first, last)), first + count - taken - 1))))
        return SampleIds(tuple(spans))

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


def _joined(spans: Iterable[tuple[int, int | None]]) -> list[tuple[int, int | None]]:
    """The same numbers in spans without overlap, in descending order."""
    joined: list[tuple[int, int | None]] = []
    for span in sorted(spans, key=lambda span: span[0]):
        if joined and span[0] <= _end(joined[-1]):
            span = (joined[-1][0], max(joined[-1], span, key=_end)[1])
            joined.pop()
        joined.append(span)
    return joined[::-1]


def _end(span: tuple[int, int | None]) -> float:
    return math.inf if span[1] is None else span[1]


Split = Literal["search", "holdout"]
SPLITS: tuple[Split, ...] = ("search", "holdout")
