"""The environment of a DBBench episode: a database with one table, and an account for it alone."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mergekit_cycleqd.tasks.agentbench_db.mariadb import Server
from mergekit_cycleqd.tasks.agentbench_db.model_statements import Reply, run_statement
from mergekit_cycleqd.tasks.agentbench_db.mysql_client import Endpoint, ServerError, administrate

Cell = str | int | float | None

NAME = "dbbench"
"""What a model sees as the name of its database and of its account. The real one is another every
time, and a transcript must not be."""

_NAME = re.compile(rf"\b{NAME}\b")

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Table:
    """A table as a record gives it: every column holds text.

    Attributes:
        name: Its name.
        columns: Names of its columns.
        rows: Their values.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]

    @property
    def fault(self) -> str | None:
        """Why no server can make it, or None."""
        names = [self.name, *self.columns]
        if not self.columns:
            return "it has no columns"
        if not all(names):
            return "a column or the table has no name"
        if any(len(name) > 64 for name in names):
            return "a name has more than 64 characters"
        if any(name.endswith(" ") for name in names):
            return "a name ends with a space"
        if len({name.lower() for name in self.columns}) < len(self.columns):
            return "two columns have the same name"
        if any(len(row) != len(self.columns) for row in self.rows):
            return "a row has not one value per column"
        return None


class EpisodeDatabase:
    """A database that is made anew, and dropped by `close`."""

    def __init__(self, server: Server, table: Table) -> None:
        """Make the database, its account and its table.

        Raises:
            ServerError: If the server cannot.
        """
        self._server = server
        self._table = table
        # no underscore: it is a wildcard in GRANT, and would reach into other episodes
        self._name = f"episode{secrets.token_hex(8)}"
        password = secrets.token_hex(16)
        admin = server.admin
        self._account = Endpoint(self._name, password, admin.socket, admin.host, admin.port)
        try:
            administrate(admin, *self._statements(password))
        except BaseException:
            with contextlib.suppress(ServerError):  # the first error says more
                self.close()
            raise

    def _statements(self, password: str) -> list[str | tuple[str, list[str | None]]]:
        table = f"{_quoted(self._name)}.{_quoted(self._table.name)}"
        columns = ", ".join(f"{_quoted(column)} TEXT" for column in self._table.columns)
        statements: list[str | tuple[str, list[str | None]]] = [
            f"CREATE DATABASE {_quoted(self._name)} {self._server.database_options}",
            f"CREATE USER '{self._name}'@'%' IDENTIFIED BY '{password}'",
            f"GRANT ALL PRIVILEGES ON {_quoted(self._name)}.* TO '{self._name}'@'%'",
            f"CREATE TABLE {table} ({columns})",
        ]
        if self._table.rows:
            row = f"({', '.join(['%s'] * len(self._table.columns))})"
            # PyMySQL puts values in by %, so that one in a name must be doubled
            into = f"INSERT INTO {table} VALUES ".replace("%", "%%")  # noqa: S608
            values = [_as_text(cell) for cells in self._table.rows for cell in cells]
            statements.append((into + ", ".join([row] * len(self._table.rows)), values))
        return statements

    def execute(self, sql: str) -> Reply:
        """Run one statement of the model.

        Raises:
            ServerError: If the server broke: not for anything that the statement does.
        """
        reply = run_statement(self._account, self._name, _NAME.sub(self._name, sql))
        if reply.lost:
            self._server.check()
        if reply.running is not None:
            self._kill(reply.running)
        rows = [tuple(map(self._masked, row)) for row in reply.rows]
        return replace(reply, rows=rows, error=self._masked(reply.error))

    def _masked(self, value: Any) -> Any:
        return value.replace(self._name, NAME) if isinstance(value, str) else value

    def _kill(self, number: int) -> None:
        try:
            administrate(self._server.admin, f"KILL {number}")
        except ServerError as error:
            self._server.check()  # it had ended already, if the server is still there
            _log.debug("%s", error)

    def table_hash(self) -> str:
        """AgentBench's hash of the table's content, in the form of its data: ``[('<hex>',)]``.

        Where the table cannot be read any more, this is what the server says of it.

        Raises:
            ServerError: If the server broke.
        """
        columns = ", ".join(map(_quoted, self._table.columns))
        # as the model's account, for the model may have made the table a view of whatever it likes
        reply = self.execute(
            "SELECT MD5(GROUP_CONCAT(rowhash ORDER BY rowhash)) FROM "  # noqa: S608
            f"(SELECT SUBSTRING(MD5(CONCAT_WS(',', {columns})), 1, 5) AS rowhash "
            f"FROM {_quoted(self._table.name)}) AS hashes"
        )
        return reply.error or str(list(reply.rows))

    def close(self) -> None:
        """Drop the database and the account.

        Raises:
            ServerError: If the server cannot.
        """
        if not self._server.gone:
            administrate(
                self._server.admin,
                f"DROP DATABASE IF EXISTS {_quoted(self._name)}",
                f"DROP USER IF EXISTS '{self._name}'@'%'",
            )


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _as_text(cell: Cell) -> str | None:
    return None if cell is None else str(cell)
