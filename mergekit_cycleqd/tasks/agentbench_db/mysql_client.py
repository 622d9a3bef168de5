"""Connect to a MySQL or MariaDB server, and run this package's own statements."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit

from mergekit_cycleqd.errors import CycleQDError


class ServerError(CycleQDError):
    """A database server is missing or broke. This is never counted as a wrong answer."""


try:
    import pymysql
    from pymysql.connections import Connection
    from pymysql.constants.CLIENT import MULTI_STATEMENTS
    from pymysql.cursors import SSCursor
except ImportError as missing:
    raise ServerError(
        "databases need PyMySQL, which is not installed: pip install 'mergekit-cycleqd[agentbench]'"
    ) from missing

if TYPE_CHECKING:
    BaseConnection = Connection[Any]  # generic only in the type stubs
else:
    BaseConnection = Connection

MySQLError = pymysql.MySQLError
UnbufferedCursor = SSCursor

C = TypeVar("C", bound=BaseConnection)

_PATIENCE = 60  # seconds for our own statements; a DROP waits for the rollback of a model's changes

# the default of MySQL 8, without STRICT_TRANS_TABLES
SQL_MODE = (
    "ONLY_FULL_GROUP_BY,NO_ZERO_IN_DATE,NO_ZERO_DATE,"
    "ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION"
)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and an account on it.

    Attributes:
        user: Name of the account.
        password: Password of the account; never shown in the endpoint's text.
        socket: Path of the server's unix socket; None to use `host` and `port`.
        host: Name or address of the server.
        port: TCP port.
    """

    user: str
    password: str = field(repr=False)
    socket: str | None = None
    host: str = "localhost"
    port: int = 3306

    @classmethod
    def parse(cls, dsn: str) -> Endpoint:
        """Parse ``mysql://user:password@host:port/``, with special characters percent-encoded.

        Raises:
            ServerError: If the text has another form.
        """
        try:
            parts = urlsplit(dsn)
            port = parts.port
        except ValueError:
            parts, port = urlsplit(""), None
        if parts.scheme not in ("mysql", "mariadb") or not parts.hostname or not parts.username:
            raise ServerError("dsn must read mysql://user:password@host:port/")
        return cls(
            unquote(parts.username),
            unquote(parts.password or ""),
            host=parts.hostname,
            port=port or 3306,
        )

    @property
    def place(self) -> str:
        """The server's socket or address, for messages."""
        return self.socket or f"{self.host}:{self.port}"


def administrate(endpoint: Endpoint, *statements: str | tuple[str, Sequence[Any]]) -> None:
    """Run statements of this package in one connection.

    Args:
        endpoint: The server and the account.
        statements: The statements, each as a text or with its parameters.

    Raises:
        ServerError: If the server refuses one, or cannot be reached.
    """
    try:
        connection = connect(endpoint, BaseConnection, None, _PATIENCE)
        try:
            with connection.cursor() as cursor:
                if endpoint.socket is not None:  # the private server's limits are for models
                    cursor.execute(
                        f"SET max_statement_time = {_PATIENCE}, lock_wait_timeout = {_PATIENCE}"
                    )
                for statement in statements:
                    text, values = (statement, None) if isinstance(statement, str) else statement
                    cursor.execute(text, values)
        finally:
            connection.close()
    except (MySQLError, OSError, RuntimeError) as error:
        raise server_error(endpoint, error) from error


def connect(
    endpoint: Endpoint,
    kind: type[C],
    database: str | None,
    seconds: float,
    *,
    for_model: bool = False,
) -> C:
    """Connect to a server.

    Args:
        endpoint: The server and the account.
        kind: The class of the connection.
        database: The database to start in; None for none.
        seconds: Seconds to wait for each piece of an answer.
        for_model: Whether a text may hold several statements, and nothing is kept until `commit`,
            as in AgentBench.

    Raises:
        OSError: If the server cannot be reached.
        MySQLError: If the server refuses.
        RuntimeError: If PyMySQL lacks a library that the account's authentication needs.
    """
    connection = kind(
        user=endpoint.user,
        password=endpoint.password,
        unix_socket=endpoint.socket,
        host=endpoint.host,
        port=endpoint.port,
        database=database,
        charset="utf8mb4",
        sql_mode=SQL_MODE,
        ssl_disabled=endpoint.socket is not None,
        autocommit=not for_model,
        client_flag=MULTI_STATEMENTS if for_model else 0,
        read_timeout=seconds,
        write_timeout=seconds,
        defer_connect=True,
    )
    connection.connect(
        _open_socket(endpoint)
    )  # PyMySQL would leak its own socket if there is no server
    return connection


def _open_socket(endpoint: Endpoint) -> socket.socket:
    if endpoint.socket is None:
        found = socket.create_connection((endpoint.host, endpoint.port), timeout=10)
    else:
        found = socket.socket(socket.AF_UNIX)
        try:
            found.settimeout(10)
            found.connect(endpoint.socket)
        except BaseException:
            found.close()
            raise
    found.settimeout(None)
    return found


def server_error(endpoint: Endpoint, error: Exception) -> ServerError:
    """Make the error to report for an exception of `connect` or of a statement.

    Args:
        endpoint: The server.
        error: The exception.
    """
    code, _, message = error_parts(error)
    if isinstance(error, OSError):
        return ServerError(f"no database server at {endpoint.place}: {error.strerror or error}")
    return ServerError(f"database server at {endpoint.place}: {code} {message}")


def error_parts(error: Exception) -> tuple[int, str, str]:
    """Split an error into number, SQL state and message. Other errors get number 2000."""
    if isinstance(error, MySQLError) and len(error.args) == 2:
        code, message = error.args
        return int(code), getattr(error, "sqlstate", None) or "HY000", str(message)
    return 2000, "HY000", f"{type(error).__name__}: {error}"
