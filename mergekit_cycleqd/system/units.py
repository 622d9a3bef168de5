"""Bytes, seconds and numbers for a reader."""

from __future__ import annotations

from collections.abc import Sequence


def size(count: float) -> str:
    """Format a number of bytes, such as ``12.3 GB``."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} TB"


def duration(seconds: float) -> str:
    """Format seconds, such as ``3 h 07 min``, ``4 min`` or ``12.5 s``."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60:,} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def number(value: float | None, form: str = ".3f") -> str:
    """A number in a table; a dash where it is not known."""
    return "–" if value is None else format(value, form)


def counted(count: int, noun: str) -> str:
    """A number of things, such as ``1 expert`` or ``1,200 experts``."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def listed(words: Sequence[str]) -> str:
    """Such as ``a``, ``a and b`` or ``a, b and c``, of one word or more."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
