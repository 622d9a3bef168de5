"""Statements that a model wrote, with bounds on their time and on what comes back."""

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
    refused,
)

SECONDS = 5
"""Wall time of one statement of a model; those of the benchmark take milliseconds."""

_GRACE = 10.0  # seconds that a server under load has to end a statement by itself, and say so
_KEEP = 4000  # characters of a result that are kept at least; more than a model is shown
_RECEIVE = 4 << 20  # bytes of a result that are received before its statement is killed

_TOO_SLOW = (
    "3024 (HY000): Query execution was interrupted, maximum statement execution time exceeded"
)
_TOO_LARGE = "1153 (08S01): Got a packet bigger than 'max_allowed_packet' bytes"

# access denied, no such database: a model can drop its database, or change its own password
_OWN_DOING = (1044, 1045, 1049, 1698)
# shutting down, interrupted, killed: a model can kill its own connection, but a dying server
# says the same
_KILLED = (1053, 1077, 1078, 1079, 1317, 1927)

# models' statements that run at the same time; some can make a server hold gigabytes
_turns = threading.BoundedSemaphore(4)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came of one statement.

    Attributes:
        rows: The first rows of its (first) result; all of them where they are short.
        error: What the server said instead, such as ``1146 (42S02): Table 'a.b' doesn't exist``.
        lost: Whether the connection ended: by a statement that ends its own, or with the server.
        running: The connection whose statement may still be running on the server.
    """

    rows: Sequence[tuple[Any, ...]] = ()
    error: str | None = None
    lost: bool = False
    running: int | None = None


def run_statement(endpoint: Endpoint, database: str, sql: str) -> Reply:
    """Run one statement that a model wrote, in a connection of its own.

    Locks, variables, temporary tables and open transactions end with the connection, as they do in
    AgentBench.

    Args:
        endpoint: An account that may use this database alone.
        database: The database that it begins in.
        sql: The statement.

    Returns:
        Its rows or its error: nothing that a statement does raises an exception.

    Raises:
        ServerError: If there is no server to connect to.
    """
    with _turns:
        return _run(endpoint, database, sql)


def _run(endpoint: Endpoint, database: str, sql: str) -> Reply:
    rows: list[tuple[Any, ...]] = []
    kept = 0.0
    cursor: Any = None
    try:
        connection = connect(endpoint, _Bounded, database, SECONDS + _GRACE)
    except (MySQLError, OSError, RuntimeError) as failure:
        code, state, message = error_parts(failure)
        if code in _OWN_DOING:
            return Reply(error=f"{code} ({state}): {message}")
        raise refused(endpoint, failure) from failure
    try:
        connection.bound()
        cursor = connection.cursor(UnbufferedCursor)
        cursor.execute(sql)
        while (row := cursor.fetchone()) is not None:
            if kept <= _KEEP:
                rows.append(row)
                kept += len(str(row))
        kept = math.inf
        while cursor.nextset():  # of a compound statement: it runs to its end, nobody reads it
            while cursor.fetchone() is not None:
                pass
        return Reply(rows)
    except _TooMuch:
        error = None if kept > _KEEP else _TOO_LARGE
        return Reply(rows, error, running=connection.number)
    except Exception as failure:
        code, state, message = error_parts(failure)
        unanswered = 2000 <= code < 3000  # by the server: the client's own codes
        if unanswered and connection.late:
            return Reply(error=_TOO_SLOW, running=connection.number)
        lost = unanswered or code in _KILLED
        return Reply(
            error=f"{code} ({state}): {message}",
            lost=lost,
            running=connection.number if lost else None,
        )
    finally:
        _let_go(cursor)
        connection.close()


class _TooMuch(Exception):
    """More came back than anybody will read."""


class _Bounded(BaseConnection):
    """A connection that receives so many bytes, in so much time, and no more."""

    def __init__(self, **settings: Any) -> None:
        self._left = math.inf
        self._end = math.inf
        super().__init__(**settings)

    def bound(self) -> None:
        """From here on the bounds hold."""
        self._left = _RECEIVE
        self._end = time.monotonic() + SECONDS + _GRACE

    @property
    def number(self) -> int:
        return int(self.thread_id())  # type: ignore[no-untyped-call]

    @property
    def late(self) -> bool:
        return time.monotonic() > self._end

    def _read_bytes(self, num_bytes: int) -> bytes:
        # counted here, for one row alone can be larger than memory
        self._left -= num_bytes
        if self._left < 0:
            raise _TooMuch
        if self.late:
            raise TimeoutError
        received: bytes = super()._read_bytes(num_bytes)  # type: ignore[misc]
        return received


def _let_go(cursor: Any) -> None:
    """Drop an unbuffered cursor. Its own `close` would first receive all that is left."""
    if cursor is None:
        return
    if cursor._result is not None:
        cursor._result.unbuffered_active = False
    cursor.connection = None
