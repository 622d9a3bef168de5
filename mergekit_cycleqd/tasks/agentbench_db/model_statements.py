"""Run SQL statements that a model wrote, with limits on their time and on the size of results."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from mergekit_cycleqd.tasks.agentbench_db.mysql_client import (
    BaseConnection,
    Endpoint,
    MySQLError,
    UnbufferedCursor,
    connect,
    error_parts,
    server_error,
)

SECONDS = 5
"""Longest wall time of one statement, in seconds. The benchmark's own take milliseconds."""

_GRACE = 10.0  # seconds for a server under load to end a slow statement by itself
_KEEP = 4000  # least number of characters of a result to keep; more than a model is shown
_RECEIVE = 4 << 20  # bytes of a result to receive before its statement is killed

_TOO_SLOW = (
    "3024 (HY000): Query execution was interrupted, maximum statement execution time exceeded"
)
_TOO_LARGE = "1153 (08S01): Got a packet bigger than 'max_allowed_packet' bytes"
# what AgentBench's client says to any block of several statements, after the server ran them
_SEVERAL = "Commands out of sync; you can't run this command now"

# access denied, no such database: caused by a model that dropped its database, or changed its
# password
_OWN_DOING = (1044, 1045, 1049, 1698)
# shutting down, interrupted, killed: sent if a model killed its own connection, and also by a
# server that is ending
_KILLED = (1053, 1077, 1078, 1079, 1317, 1927)

# limits the statements that run at the same time, since some make a server hold gigabytes
_turns = threading.BoundedSemaphore(4)


@dataclass(frozen=True, slots=True)
class Reply:
    """The result of one statement.

    Attributes:
        rows: The first rows of the statement's first result; all rows if they are short.
        error: The server's error, such as ``1146 (42S02): Table 'a.b' doesn't exist``; None without
            one.
        lost: Whether the connection ended: the statement ended it, or the server broke.
        running: Number of the connection if its statement may still run on the server, else None.
    """

    rows: Sequence[tuple[Any, ...]] = ()
    error: str | None = None
    lost: bool = False
    running: int | None = None


def run_statement(endpoint: Endpoint, database: str, sql: str) -> Reply:
    """Run what a model wrote, in a connection of its own: one statement, or several.

    Locks, variables, temporary tables and open transactions end with the connection, as they do in
    AgentBench. What a single statement changed is committed. Of several, all run, and what they do
    not commit themselves is rolled back.

    Args:
        endpoint: The server, and an account that may use this database only.
        database: The database that the connection starts in.
        sql: The statements. Nothing is run if the text is empty.

    Returns:
        The statement's rows or error. Nothing that a statement does raises an exception.

    Raises:
        ServerError: If there is no server to connect to.
    """
    if not sql:
        return Reply()
    with _turns:
        return _run(endpoint, database, sql)


def _run(endpoint: Endpoint, database: str, sql: str) -> Reply:
    rows: list[tuple[Any, ...]] = []
    kept = 0.0
    several = False
    cursor: Any = None
    try:
        connection = connect(
            endpoint, _BoundedConnection, database, SECONDS + _GRACE, for_model=True
        )
    except (MySQLError, OSError, RuntimeError) as failure:
        code, state, message = error_parts(failure)
        if code in _OWN_DOING:
            return Reply(error=f"{code} ({state}): {message}")
        raise server_error(endpoint, failure) from failure
    try:
        connection.bound()
        cursor = connection.cursor(UnbufferedCursor)
        cursor.execute(sql)
        while (row := cursor.fetchone()) is not None:
            if kept <= _KEEP:
                rows.append(row)
                kept += len(str(row))
        kept = math.inf
        several = cursor._result.has_next
        while cursor.nextset():  # further results are read to their end, and dropped
            while cursor.fetchone() is not None:
                pass
        if several:
            return Reply(error=_SEVERAL)
        connection.commit()
        return Reply(rows)
    except _TooMuch:
        error = None if kept > _KEEP else _TOO_LARGE
        return Reply(rows, error, running=connection.number)
    except Exception as failure:
        code, state, message = error_parts(failure)
        unanswered = 2000 <= code < 3000  # codes of the client: the server did not answer
        if unanswered and connection.late:
            return Reply(error=_TOO_SLOW, running=connection.number)
        lost = unanswered or code in _KILLED
        return Reply(
            error=f"{code} ({state}): {message}" if lost or not several else _SEVERAL,
            lost=lost,
            running=connection.number if lost else None,
        )
    finally:
        _let_go(cursor)
        connection.close()


class _TooMuch(Exception):
    """A result is larger than `_RECEIVE` bytes."""


class _BoundedConnection(BaseConnection):
    """A connection with limits on the bytes that it receives, and on the time."""

    def __init__(self, **settings: Any) -> None:
        self._left = math.inf
        self._end = math.inf
        super().__init__(**settings)

    def bound(self) -> None:
        """Start the limits on bytes and time."""
        self._left = _RECEIVE
        self._end = time.monotonic() + SECONDS + _GRACE

    @property
    def number(self) -> int:
        return int(self.thread_id())  # type: ignore[no-untyped-call]

    @property
    def late(self) -> bool:
        return time.monotonic() > self._end

    def _read_bytes(self, num_bytes: int) -> bytes:
        # counted before a row is complete, since one row can be larger than memory
        self._left -= num_bytes
        if self._left < 0:
            raise _TooMuch
        if self.late:
            raise TimeoutError
        received: bytes = super()._read_bytes(num_bytes)  # type: ignore[misc]
        return received


def _let_go(cursor: Any) -> None:
    """Drop an unbuffered cursor. Its own `close` would first receive the rest of the result."""
    if cursor is None:
        return
    if cursor._result is not None:
        cursor._result.unbuffered_active = False
    cursor.connection = None
