"""Read DBBench's records from the files of an AgentBench clone, or from files of the same form."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from mergekit_cycleqd.errors import CycleQDError
from mergekit_cycleqd.tasks.agentbench_db.database import Cell, Table
from mergekit_cycleqd.tasks.agentbench_db.protocol import CHANGES

FILES = ("standard.jsonl", "dev.jsonl")
"""The files of the benchmark. Their records are numbered in this order."""

_log = logging.getLogger(__name__)


class _Strict(BaseModel):
    model_config = ConfigDict(strict=True, frozen=True)


class _Column(_Strict):
    name: str


class _TableInfo(_Strict):
    columns: list[_Column]
    rows: list[list[Cell]]


class _Table(_Strict):
    table_name: str
    table_info: _TableInfo


class _Record(_Strict):
    description: str
    add_description: str
    label: list[str]
    type: list[str] = Field(min_length=1)
    table: _Table
    answer_md5: str | None = None


def benchmark_files(root: str) -> list[Path]:
    """Find the files in a clone of AgentBench, or in its data folder.

    Raises:
        CycleQDError: If they are not there.
    """
    for folder in (Path(root, "data", "dbbench"), Path(root, "dbbench")):
        if all((folder / name).is_file() for name in FILES):
            return [folder / name for name in FILES]
    raise CycleQDError(
        f"agentbench_root: no data/dbbench/ or dbbench/ with {' and '.join(FILES)} in {root!r}; "
        "clone AgentBench and name that folder"
    )


def read_dbbench_records(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Read all records, as plain mappings, which lm-eval uses as documents.

    A record's `id` is its position, counted from 0 through all files: 0 to 299 are the benchmark's
    standard.jsonl, 300 to 359 its dev.jsonl. A record whose table no server can make keeps its
    position, and has the reason under `skip`.

    Raises:
        CycleQDError: If a file cannot be read, or a line is not a record.
    """
    documents: list[dict[str, Any]] = []
    for path in files:
        for number, line in _numbered_lines(path):
            document = _document(line, f"{path}, line {number}") | {"id": len(documents)}
            if "skip" in document:
                _log.warning(
                    "%s, line %d: document %d is never scored: its table cannot be made, for %s",
                    path,
                    number,
                    document["id"],
                    document["skip"],
                )
            documents.append(document)
    return documents


def _numbered_lines(path: Path) -> Iterator[tuple[int, str]]:
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeError) as error:
        raise CycleQDError(f"records of DBBench: {path} cannot be read: {error}") from None
    return ((number, line) for number, line in enumerate(lines, 1) if line.strip())


def _document(line: str, where: str) -> dict[str, Any]:
    try:
        record = _Record.model_validate(json.loads(line))
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        raise CycleQDError(
            f"{where}: is no record of DBBench: {'.'.join(map(str, fault['loc']))}: {fault['msg']}"
        ) from None
    except ValueError as error:
        raise CycleQDError(f"{where}: is not JSON: {error}") from None
    kind = record.type[0]
    if kind in CHANGES and record.answer_md5 is None:
        raise CycleQDError(f"{where}: a record of type {kind} needs answer_md5, the table's hash")
    document: dict[str, Any] = {
        "type": kind,
        "description": record.description,
        "add_description": record.add_description,
        "label": record.label,
        "answer_md5": record.answer_md5,
        "table": {
            "name": record.table.table_name,
            "columns": [column.name for column in record.table.table_info.columns],
            "rows": record.table.table_info.rows,
        },
    }
    fault_of_table = table_of(document).fault
    return document if fault_of_table is None else document | {"skip": fault_of_table}


def table_of(document: dict[str, Any]) -> Table:
    """Make the table of a document."""
    table = document["table"]
    return Table(table["name"], tuple(table["columns"]), table["rows"])
