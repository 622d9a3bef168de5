"""Exceptions of this package. Each says what was needed, what was got and how to mend it."""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager


class CycleQDError(Exception):
    """Base of all errors that are reported to the user; commands print it and exit with 2."""


class GenomeError(CycleQDError):
    """A genome or a model recipe that cannot be built or read."""


class RecipeError(CycleQDError):
    """A recipe that cannot work. Its message has one line for each fault.

    Attributes:
        faults: Lines such as ``recipe.yaml: tasks[1].bins: must be at least 1, got 0``.
    """

    def __init__(self, faults: Sequence[str]) -> None:
        """Join the lines `faults` into one message."""
        self.faults = tuple(faults)
        super().__init__("\n".join(self.faults))


class ModelError(CycleQDError):
    """A checkpoint that is missing or malformed, or does not fit its base."""


class SearchError(CycleQDError):
    """A search that cannot go on, or whose methods were called in the wrong order."""


class JournalError(CycleQDError):
    """A run folder that cannot be resumed."""


def is_panic(error: BaseException) -> bool:
    """Whether code of Rust broke off. Each library has a class of its own for that."""
    return type(error).__name__ == "PanicException"


@contextmanager
def without_panics() -> Iterator[None]:
    """Turn what breaks off in code of Rust into an exception like any other.

    tokenizers and safetensors raise it past ``except Exception``, for example where the pattern of
    a tokenizer needs too many steps.
    """
    try:
        yield
    except BaseException as error:
        if not is_panic(error):
            raise
        raise ValueError(first_line(error)) from error


def nearest(word: str, known: Sequence[str]) -> str:
    """Suggest a known word: the end of a message about an unknown one.

    Args:
        word: The unknown word.
        known: All words that are allowed.
    """
    near = difflib.get_close_matches(word, known, n=1)
    return f"; did you mean {near[0]!r}?" if near else f"; known: {', '.join(known)}"


def first_line(error: BaseException, longest: int = 200) -> str:
    """The first line of an error's message that is not empty.

    Args:
        error: The error; other libraries' messages may go on for pages.
        longest: How many characters to keep.
    """
    lines = (line for line in str(error).splitlines() if line.strip())
    return next(lines, "")[:longest]


def reason(error: BaseException) -> str:
    """Kind and first line of an error, or kind and place if it says nothing.

    The message of an error of this package stands alone, on one line.

    Args:
        error: The error; one that code of the user raised, for example.
    """
    if isinstance(error, CycleQDError):
        return "; ".join(str(error).splitlines())
    kind = type(error).__name__
    if words := first_line(error):
        return f"{kind}: {words}"
    frames = traceback.extract_tb(error.__traceback__)
    return f"{kind} in {frames[-1].filename}, line {frames[-1].lineno}" if frames else kind


def first_names(names: Sequence[str]) -> str:
    """The first two names of a list, and how many more there are."""
    rest = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return ", ".join(names[:2]) + rest
