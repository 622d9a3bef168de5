"""What tests of databases share: the condition for running, and records with their hashes."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.tasks.agentbench_db.mariadb import find_programs
from mergekit_cycleqd.tasks.agentbench_db.mysql_client import ServerError

needs_mariadb = pytest.mark.mariadb


def skip_without_mariadb() -> None:
    """Skip for want of its programs; on CI, where they have to be, go on."""
    try:
        find_programs()
    except ServerError as error:
        if "CI" not in os.environ:
            pytest.skip(str(error))


Rows = list[list[Any]]


def hash_of(rows: Rows) -> str:
    """AgentBench's hash of a table's content, computed here rather than by a server."""
    texts = [",".join(str(cell) for cell in row if cell is not None) for row in rows]
    hashes = sorted(hashlib.md5(text.encode()).hexdigest()[:5] for text in texts)
    return f"[('{hashlib.md5(','.join(hashes).encode()).hexdigest()}',)]"


def record(
    question: str,
    kind: str,
    label: list[str],
    columns: list[str],
    rows: Rows,
    *,
    name: str = "t",
    then: Rows | None = None,
) -> dict[str, Any]:
    """A record in DBBench's form; `then` are the rows that a change must leave."""
    made: dict[str, Any] = {
        "description": question,
        "add_description": f"The table is {name}, its headers are {','.join(columns)}.",
        "label": label,
        "type": [kind],
        "table": {
            "table_name": name,
            "table_info": {
                "columns": [{"name": column, "type": "TEXT"} for column in columns],
                "rows": rows,
            },
        },
    }
    if then is not None:
        made["answer_md5"] = hash_of(then)
    else:
        made["sql"] = {"query": "SELECT 1", "length": 8}
    return made


CITIES: Rows = [["Bern", "134000"], ["Åre", "3200"], ["名古屋 🏯", None]]

RECORDS = [
    record("How many live in Bern?", "other", ["134000"], ["City", "People"], CITIES),
    record("Which are there?", "comparison", ["Bern", "Åre"], ["City", "People"], CITIES[:2]),
    record("How many?", "counting", ["3.0"], ["City", "People"], CITIES),
    record("Which has a castle?", "ranking", ["名古屋 🏯"], ["City", "People"], CITIES),
    record("The sum?", "aggregation-SUM", ["4.5"], ["n", "x"], [[1, 1.5], [2, 3.0]], name="s"),
    record(
        "Add Ulm.",
        "INSERT",
        ["INSERT INTO `the 100% table` VALUES ('Ulm', '5`000%')"],
        ["City`s", "%s of it"],
        [["Bern", "50%"]],
        name="the 100% table",
        then=[["Bern", "50%"], ["Ulm", "5`000%"]],
    ),
    record(
        "Raise the price.",
        "UPDATE",
        ["UPDATE `a``b` SET price = '2.5' WHERE id = 1"],
        ["id", "price"],
        [[1, 2.0], [2, 1.0]],
        name="a`b",
        then=[[1, "2.5"], [2, "1.0"]],
    ),
    record(
        "Name the castle.",
        "UPDATE",
        ["UPDATE t SET City = '🏯' WHERE People IS NULL"],
        ["City", "People"],
        CITIES,
        then=[["Bern", "134000"], ["Åre", "3200"], ["🏯", None]],
    ),
    record(
        "Forget Bern.",
        "DELETE",
        ["DELETE FROM t WHERE City = 'Bern'"],
        ["City", "People"],
        CITIES,
        then=CITIES[1:],
    ),
    record("Nothing to see?", "other", ["none"], ["a"], [], name="empty"),
    record("Out of which?", "other", ["x"], ["", "b"], [["1", "2"]]),
]

UNSCORED = 10
"""The record whose table no server can make."""


def write_records(path: Path, records: list[dict[str, Any]] | None = None) -> str:
    """Write a file of records; its path."""
    records = RECORDS if records is None else records
    path.write_text("".join(f"{json.dumps(r, ensure_ascii=False)}\n" for r in records))
    return str(path)


def question(chat: list[dict[str, str]]) -> str:
    """The first line of the record that a chat is about."""
    return chat[2]["content"].split("\n")[0]


def operation(sql: str) -> str:
    return f"I run a statement.\nAction: Operation\n```sql\n{sql}\n```"


def final(answer: object) -> str:
    return f"I know it.\nAction: Answer\nFinal Answer: {answer}"
