"""Read questions and answers from JSON, JSON Lines or CSV, whatever the columns are called."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.draft.questions import TURNS, answer_in, choices_in, question_in
from mergekit_cycleqd.errors import RecipeError

ENDINGS = (".json", ".jsonl", ".csv", ".tsv")
_MOST_FAULTS = 5


@dataclass(frozen=True)
class Example:
    """A question with its answer.

    Attributes:
        question: What a model is asked.
        answer: The right answer, which is one of the choices if there are any.
        choices: What a model chooses from; empty where it answers freely.
    """

    question: str
    answer: str
    choices: tuple[str, ...] = ()


def read_examples(path: Path) -> list[Example]:
    """Read a file of questions and answers; what stands twice is kept once.

    Raises:
        RecipeError: If it cannot be read, or rows have no question or no answer.
    """
    rows = list(_rows(path))
    if not rows:
        raise RecipeError([f"--task {path}: needs rows of a question and an answer, got none"])
    found: dict[Example, None] = {}
    faults = []
    for number, row in enumerate(rows, start=1):
        try:
            found.setdefault(_example(row))
        except ValueError as error:
            faults.append(f"--task {path}: row {number}: {error}")
    if len(faults) > _MOST_FAULTS:
        more = len(faults) - _MOST_FAULTS
        faults = [*faults[:_MOST_FAULTS], f"--task {path}: and {more} rows more"]
    if faults:
        raise RecipeError(faults)
    return list(found)


def _example(row: Any) -> Example:
    if not isinstance(row, Mapping):
        raise ValueError(f"must be an object with a question and an answer, got {row!r:.60}")
    columns = {str(key).strip().lower(): value for key, value in row.items() if key is not None}
    question = question_in(columns)
    choices = choices_in(columns)
    found = Example(question, answer_in(columns, choices), tuple(choices.values()))
    try:
        "".join((found.question, found.answer, *found.choices)).encode()
    except UnicodeEncodeError as error:
        half = error.object[error.start : error.end]
        raise ValueError(f"holds half of a character, {half!r}, which no file can hold") from None
    return found


def _rows(path: Path) -> Iterator[Any]:
    """The rows of a file as plain data."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise RecipeError([f"--task {path}: no such file"]) from None
    except (OSError, UnicodeError) as error:
        raise RecipeError([f"--task {path}: cannot be read: {error}"]) from None
    if path.suffix in (".csv", ".tsv"):
        yield from _table(text)
        return
    try:
        yield from _listed(text, lines=path.suffix == ".jsonl")
    except (ValueError, RecursionError) as error:
        raise RecipeError([f"--task {path}: is not JSON: {error}"]) from None


def _table(text: str) -> Iterator[Mapping[str, Any]]:
    head = text.partition("\n")[0]
    mark = max(",;\t", key=head.count)
    csv.field_size_limit(max(csv.field_size_limit(), len(text)))  # documents are long
    yield from csv.DictReader(io.StringIO(text, newline=""), delimiter=mark)


def _listed(text: str, *, lines: bool) -> Sequence[Any]:
    """A list; a line for each; or an object that holds one list."""
    if not lines:
        try:
            content = json.loads(text)
        except ValueError:
            lines = "\n" in text.strip()  # JSON Lines are often called .json
            if not lines:
                raise
    if lines:
        return [json.loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(content, Mapping) and not set(TURNS) & content.keys():
        lists = [value for value in content.values() if isinstance(value, list)]
        content = lists[0] if len(lists) == 1 else [content]
    return content if isinstance(content, list) else [content]
