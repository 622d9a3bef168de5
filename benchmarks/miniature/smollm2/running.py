"""What answers do when they are run: SQL in sqlite3, bash and Python in a box of the sandbox.

An answer is right if it does what the question's own answer does, on data that the model has not
seen. Text of models runs nowhere but in a box, where all of a batch share one and run as `nobody`,
one after the other; SQL may only read, in databases in memory.
"""

from __future__ import annotations

import json
import random
import secrets
import sqlite3
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from smollm2.skills import CITIES, COLUMNS, FILES, NAMES, TABLES, Question

from mergekit_cycleqd.sandbox.base import Backend, Box, Limits, Result, SandboxError
from mergekit_cycleqd.sandbox.open import open_backend

LIMITS = Limits(memory=256 << 20, processes=64, disk=32 << 20, output=64 << 10, seconds=5.0)
_ROWS = 60
_STEPS = 1_000_000  # of sqlite's machine, for one statement
_MAY = (sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_FUNCTION)
_LISTS = ([], [10, 25, 3, 48, 60, 12, 7], list(range(-6, 64)), [64, 6, 36, 12, 20, 56, 1, 30])
_TEXTS = ("", "a quiet tree never listens", "seven Oslo trains ran into extraordinary rain storms")
_KILLED = 137
_RUN_PARTS = Path(__file__).with_name("run_parts.py")

Data = dict[str, list[tuple[Any, ...]]]


def data(seed: int, names: Sequence[str]) -> Data:
    """Rows of name, city and three numbers, distinct in their column, for each of some tables."""
    draw = random.Random(seed)
    found: Data = {}
    for name in names:
        numbers = [draw.sample(range(1, 100), _ROWS) for _ in COLUMNS]
        found[name] = [
            (draw.choice(NAMES), draw.choice(CITIES), *values)
            for values in zip(*numbers, strict=True)
        ]
    return found


class Runner:
    """Runs answers, and remembers what came of each; close it, or use it as a context."""

    def __init__(self, root: str | Path | None = None) -> None:
        """Prepare the data.

        Args:
            root: What boxes start from; see `open_backend`.
        """
        self._root = root
        self._backend: Backend | None = None
        self._found: dict[tuple[Question, str], object] = {}
        self._databases = [_database(data(seed, TABLES)) for seed in (0, 1)]
        files = [data(seed, FILES) for seed in (2, 3)]
        self._files = json.dumps(
            [{name: _csv(rows) for name, rows in each.items()} for each in files]
        )

    def right(self, asked: Sequence[tuple[Question, str]]) -> list[bool]:
        """Whether each answer to its question is right.

        Raises:
            SandboxError: If no boxes can be had here, one broke, or a question's own answer did
                not run, which is the machinery's fault as well.
        """
        wanted = [(question, question.answer) for question, _ in asked]
        missing = dict.fromkeys(pair for pair in [*wanted, *asked] if pair not in self._found)
        boxed = [pair for pair in missing if pair[0].skill != "db"]
        self._found |= {pair: self._selected(*pair) for pair in missing if pair not in boxed}
        self._found |= self._in_boxes(boxed)
        for question, answer in wanted:
            if self._found[question, answer] is None:
                raise SandboxError(f"{answer!r}, which is right, did not run")
        return [
            self._found[pair] == self._found[reference]
            for pair, reference in zip(asked, wanted, strict=True)
        ]

    def _selected(self, question: Question, answer: str) -> object:
        rows = [_rows(database, answer) for database in self._databases]
        if None in rows:
            return None
        ordered = "ORDER BY" in question.answer
        return [
            found if ordered else sorted(found, key=repr) for found in rows if found is not None
        ]

    def _in_boxes(
        self, pairs: Sequence[tuple[Question, str]]
    ) -> dict[tuple[Question, str], object]:
        found: dict[tuple[Question, str], object] = {}
        with ExitStack() as boxes:
            box: Box | None = None
            for question, answer in pairs:
                box = box or boxes.enter_context(self._open())
                run = _passes if question.skill == "coding" else _prints
                result, what = run(box, question, answer)
                found[question, answer] = what
                if result.returncode in (None, _KILLED):  # the box may have ended with it
                    box.close()
                    box = None
        return found

    def _open(self) -> Box:
        self._backend = self._backend or open_backend("auto", LIMITS, self._root)
        box = self._backend.open()
        try:
            box.run(["python3", "-I", "-c", _WRITE_FILES], stdin=self._files)
        except BaseException:
            box.close()
            raise
        return box

    def close(self) -> None:
        """Give back the databases, and what makes the boxes."""
        for database in self._databases:
            database.close()
        if self._backend is not None:
            self._backend.close()

    def __enter__(self) -> Runner:
        """The runner itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Close it."""
        self.close()


_WRITE_FILES = """
import json, os, sys
for i, files in enumerate(json.load(sys.stdin)):
    os.makedirs(f"/srv/{i}")
    for name, text in files.items():
        with open(f"/srv/{i}/{name}", "w") as file:
            file.write(text)
"""
_IN_BOTH = 'for i in 0 1; do cd /srv/$i && bash -c "$1"; echo "[$i]"; done'
_AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


def _prints(box: Box, question: Question, answer: str) -> tuple[Result, object]:
    """What a bash command prints in two folders of files; None for want of time."""
    result = box.run([*_AS_NOBODY, "bash", "-c", _IN_BOTH, "bash", answer.replace("\0", "")])
    return result, None if result.returncode is None else result.output


def _passes(box: Box, question: Question, answer: str) -> tuple[Result, object]:
    """True if a function gives what the question's own gives, else None."""
    name, _, rest = question.answer.removeprefix("def ").partition("(")
    inputs: Sequence[Any] = _LISTS if rest.startswith("xs") else _TEXTS
    parts = [
        ("program", answer),
        ("calls", f"found = [{name}(each) for each in {list(inputs)}]"),
        ("reference", question.answer),
        ("test", f"assert found == [{name}(each) for each in {list(inputs)}]"),
    ]
    secret = secrets.token_hex(16)
    source = _RUN_PARTS.read_text(encoding="utf-8")
    result = box.run(["python3", "-I", "-c", source], stdin=secret + json.dumps(parts))
    return result, True if secret in result.output else None


def _csv(rows: Sequence[Sequence[Any]]) -> str:
    return "".join(",".join(map(str, row)) + "\n" for row in rows)


def _database(tables: Data) -> sqlite3.Connection:
    """Tables in memory that can only be read from now on."""
    database = sqlite3.connect(":memory:", isolation_level=None)
    columns = ", ".join(("name", "city", *COLUMNS))
    for name, rows in tables.items():
        database.execute(f"CREATE TABLE {name} ({columns})")
        database.executemany(f"INSERT INTO {name} VALUES (?, ?, ?, ?, ?)", rows)
    database.set_authorizer(
        lambda action, *_: sqlite3.SQLITE_OK if action in _MAY else sqlite3.SQLITE_DENY
    )
    return database


def _rows(database: sqlite3.Connection, statement: str) -> list[tuple[Any, ...]] | None:
    """What a statement selects, 1000 rows at most; None if it fails or takes too long."""
    database.set_progress_handler(lambda: 1, _STEPS)
    try:
        return database.execute(statement).fetchmany(1000)
    except (sqlite3.Error, sqlite3.Warning, ValueError):
        return None
