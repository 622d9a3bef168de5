"""The environment of a DBBench episode: a database with one table, and an account for it only."""

from __future__ import annotations

import contextlib
import logging
import re
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from mergekit_cycleqd.tasks.agentbench_db.database_names import with_real_name
from mergekit_cycleqd.tasks.agentbench_db.mariadb import Server
from mergekit_cycleqd.tasks.agentbench_db.model_statements import Reply, run_statement
from mergekit_cycleqd.tasks.agentbench_db.mysql_client import Endpoint, ServerError, administrate

Cell = str | int | float | None

ACCOUNT = "dbbench"
"""The name that a model sees for its account. The real one differs each time, and transcripts must
be equal."""

_SHOWN = 10  # characters of a name on the server by which it is known in a message that cuts it

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Table:
    """The table of a record. Every column holds text.

    Attributes:
        name: Name of the table.
        columns: Names of the columns.
        rows: The values, by row and column.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Sequence[Cell]]

    @property
    def fault(self) -> str | None:
        """The reason why no server can make this table; None if one can."""
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
    """A new database for one episode, which `close` drops.

    The model knows it by the name of its table, as in AgentBench.
    """

    def __init__(self, server: Server, table: Table) -> None:
        """Make the database, its account and its table.

        Args:
            server: The server.
            table: The table.

        Raises:
            ServerError: If the server refuses, or cannot be reached.
        """
        self._server = server
        self._table = table
        # no underscore: in GRANT it is a wildcard, which would match other episodes' databases
        token = secrets.token_hex(8)
        self._name = f"episode{token}"
        self._user = f"account{token}"
        self._columns = frozenset(column.lower() for column in table.columns)
        self._masks = [
            (re.compile(f"{real[:_SHOWN]}[0-9a-f]*"), shown)
            for real, shown in ((self._name, table.name), (self._user, ACCOUNT))
        ]
        password = secrets.token_hex(16)
        admin = server.admin
        self._account = Endpoint(self._user, password, admin.socket, admin.host, admin.port)
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
            f"CREATE USER '{self._user}'@'%' IDENTIFIED BY '{password}'",
            f"GRANT ALL PRIVILEGES ON {_quoted(self._name)}.* TO '{self._user}'@'%'",
            f"CREATE TABLE {table} ({columns})",
        ]
        if self._table.rows:
            row = f"({', '.join(['%s'] * len(self._table.columns))})"
            # PyMySQL formats values with %, so that a % in a name must be doubled
            into = f"INSERT INTO {table} VALUES ".replace("%", "%%")  # noqa: S608
            values = [_as_text(cell) for cells in self._table.rows for cell in cells]
            statements.append((into + ", ".join([row] * len(self._table.rows)), values))
        return statements

    def execute(self, sql: str) -> Reply:
        """Run what the model wrote: one statement, or several in one block.

        Raises:
            ServerError: If the server broke; never for what the statement does.
        """
        return self._run(with_real_name(sql, self._table.name, self._name, self._columns))

    def _run(self, sql: str) -> Reply:
        reply = run_statement(self._account, self._name, sql)
        if reply.lost:
            self._server.check()
        if reply.running is not None:
            self._kill(reply.running)
        rows = [tuple(map(self._masked, row)) for row in reply.rows]
        return replace(reply, rows=rows, error=self._masked(reply.error))

    def _masked(self, value: Any) -> Any:
        if isinstance(value, str):
            for real, shown in self._masks:
                value = real.sub(shown.replace("\\", r"\\"), value)
        return value

    def _kill(self, number: int) -> None:
        try:
            administrate(self._server.admin, f"KILL {number}")
        except ServerError as error:
            self._server.check()  # if the server answers, the statement had ended already
            _log.debug("%s", error)

    def table_hash(self) -> str:
        """Compute AgentBench's hash of the table's content, in its form ``[('<hex>',)]``.

        If the table cannot be read any more, the server's error is returned.

        Raises:
            ServerError: If the server broke.
        """
        columns = ", ".join(map(_quoted, self._table.columns))
        # with the model's rights, since the model may have replaced the table by a view of others
        reply = self._run(
            "SELECT MD5(GROUP_CONCAT(rowhash ORDER BY rowhash)) FROM "  # noqa: S608
            f"(SELECT SUBSTRING(MD5(CONCAT_WS(',', {columns})), 1, 5) AS rowhash "
            f"FROM {_quoted(self._table.name)}) AS hashes"
        )
        return reply.error or str(list(reply.rows))

    def close(self) -> None:
        """Drop the database and the account.

        Raises:
            ServerError: If the server refuses, or cannot be reached.
        """
        if not self._server.gone:
            administrate(
                self._server.admin,
                f"DROP DATABASE IF EXISTS {_quoted(self._name)}",
                f"DROP USER IF EXISTS '{self._user}'@'%'",
            )


def _quoted(name: str) -> str:
    return f"`{name.replace('`', '``')}`"


def _as_text(cell: Cell) -> str | None:
    return None if cell is None else str(cell)
