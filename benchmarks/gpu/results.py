"""The results of the command: a line of JSON for each row at once, and tables made of the lines."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

LINES, TABLES = "results.jsonl", "tables.md"
_DIGITS = 4
_FIRST = ("machine", "parts")

Row = dict[str, Any]


class Results:
    """The folder of the results. Several processes may add rows, one after the other."""

    def __init__(self, folder: Path) -> None:
        """Use a folder, which is made if it is missing."""
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def add(self, table: str, **row: Any) -> None:
        """Write one row to the disk, and draw the tables again."""
        line = json.dumps({"table": table, **row})
        with (self.folder / LINES).open("a", encoding="utf-8") as stream:
            stream.write(line + "\n")
            stream.flush()
            os.fsync(stream.fileno())
        print(line, flush=True)
        (self.folder / TABLES).write_text(tables(self.rows()), encoding="utf-8")

    def rows(self) -> list[Row]:
        """Read all rows so far."""
        lines = (self.folder / LINES).read_text(encoding="utf-8").splitlines()
        return [json.loads(line) for line in lines]


def tables(rows: list[Row]) -> str:
    """Write a Markdown table for each name, with the columns of all its rows."""
    named: dict[str, list[Row]] = {}
    for row in rows:
        named.setdefault(row["table"], []).append(row)
    first = sorted(named, key=lambda name: name not in _FIRST)
    return "\n".join(_table(name, named[name]) for name in first)


def _table(name: str, rows: list[Row]) -> str:
    columns = [column for column in dict.fromkeys(key for row in rows for key in row)]
    columns.remove("table")
    lines = [f"## {name}\n", _line(columns), _line("---" for _ in columns)]
    lines += [_line(_text(row.get(column, "")) for column in columns) for row in rows]
    return "\n".join(lines) + "\n"


def _line(cells: Any) -> str:
    return f"| {' | '.join(cells)} |"


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.{_DIGITS}g}"
    return " ".join(str(value).split()).replace("|", "\\|")
