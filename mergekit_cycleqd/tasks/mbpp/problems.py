"""Read programming problems in MBPP's form, from a file or from the Hugging Face Hub."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.tasks.episode import ProblemError

DATASET = "google-research-datasets/mbpp"
_SPLITS = ("prompt", "test", "validation", "train")


@dataclass(frozen=True, slots=True)
class CodingProblem:
    """One problem.

    Attributes:
        task_id: MBPP's number of the problem.
        text: What the program must do, in words.
        code: The reference solution.
        setup: Python code that runs between a solution and the tests; often empty.
        tests: Assertions. A program that passes all of them solves the problem.
    """

    task_id: int
    text: str
    code: str
    setup: str
    tests: tuple[str, ...]


def load_file(path: Path) -> list[CodingProblem]:
    """Read a file of records in MBPP's original or sanitized form, as JSON lines or a JSON list.

    Raises:
        ProblemError: If the file is missing, or a record is malformed.
    """
    try:
        text = path.read_text(encoding="utf-8")
        if text.lstrip().startswith("["):
            records = json.loads(text)
        else:
            records = [json.loads(line) for line in text.split("\n") if line.strip()]
    except (OSError, ValueError) as error:
        raise ProblemError(
            f"data_files: {path} must be a JSON lines file of MBPP records ({error})"
        ) from None
    return _read_records(records, str(path))


def load_dataset(name: str) -> list[CodingProblem]:
    """Download MBPP from the Hub: all four splits, sorted by task_id as in its original file.

    Raises:
        ProblemError: If the data set cannot be downloaded.
    """
    import datasets

    try:
        splits = datasets.load_dataset(name, "full")
        records = [record for split in _SPLITS for record in splits[split]]
    except Exception as error:
        reason = next(iter(str(error).splitlines()), "")[:200]
        raise ProblemError(
            f"dataset: {name!r} could not be had from the Hub ({type(error).__name__}: {reason}); "
            "name a file of its records with data_files"
        ) from error
    return _read_records(sorted(records, key=lambda record: record["task_id"]), name)


def read_task_ids(path: Path) -> list[int]:
    """Read a list of MBPP's numbers: a JSON list, or one per line. "Mbpp/2" means 2.

    Raises:
        ProblemError: If the file holds no such list.
    """
    try:
        text = path.read_text(encoding="utf-8")
        values = json.loads(text) if text.lstrip().startswith("[") else text.split()
        return [_parse_task_id(value) for value in values]
    except (OSError, ValueError) as error:
        raise ProblemError(
            f"task_ids: {path} must be a JSON list of task ids, or one a line ({error})"
        ) from None


def choose_problems(
    problems: Sequence[CodingProblem], task_ids: Iterable[int]
) -> list[CodingProblem]:
    """Choose the problems with these numbers, in the order of `problems`.

    Raises:
        ProblemError: If one of the numbers is not among them.
    """
    wanted = set(task_ids)
    unknown = sorted(wanted - {problem.task_id for problem in problems})
    if unknown:
        raise ProblemError(f"task_ids: no problem has the task_id {unknown[0]}")
    return [problem for problem in problems if problem.task_id in wanted]


def _parse_task_id(value: Any) -> int:
    match = re.fullmatch(r"(?:Mbpp/)?(\d+)", str(value))
    if match is None:
        raise ValueError(f"{value!r} is no task id")
    return int(match[1])


def _read_records(records: Iterable[Any], source: str) -> list[CodingProblem]:
    problems = []
    for i, record in enumerate(records):
        try:
            problems.append(_read_record(record))
        except (TypeError, ValueError, KeyError) as error:
            raise ProblemError(f"{source}: record {i} is no MBPP record ({error!r})") from None
    if not problems:
        raise ProblemError(f"{source}: must hold at least one MBPP record")
    return problems


def _read_record(record: Mapping[str, Any]) -> CodingProblem:
    text = (
        record["text"] if "text" in record else record["prompt"]
    )  # "prompt" in the sanitized form
    setup = "\n".join([*record.get("test_imports", ()), record.get("test_setup_code", "")])
    tests = tuple(_unix(test) for test in record["test_list"])
    if not tests:
        raise ValueError("test_list is empty")
    return CodingProblem(
        _parse_task_id(record["task_id"]),
        _unix(text),
        _unix(record["code"]),
        _unix(setup).strip(),
        tests,
    )


def _unix(text: str) -> str:
    """Replace the Windows line ends of MBPP, which a model should not be shown."""
    if not isinstance(text, str):
        raise TypeError(f"{text!r} is no text")
    return text.replace("\r\n", "\n")
