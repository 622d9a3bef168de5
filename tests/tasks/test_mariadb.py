"""The private database server: it is private, bounded, and gone when its owner is."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.tasks.agentbench_db import mariadb
from mergekit_cycleqd.tasks.agentbench_db.database import EpisodeDatabase, Table
from mergekit_cycleqd.tasks.agentbench_db.mariadb import PrivateServer, Server, shared_server
from mergekit_cycleqd.tasks.agentbench_db.model_statements import run_statement
from mergekit_cycleqd.tasks.agentbench_db.mysql_client import Endpoint, ServerError, administrate
from tests.support.databases import hash_of, needs_mariadb

TABLE = Table("t", ("a", "b"), [["1", "x"], ["2", "y"]])


@pytest.fixture(scope="module")
def server() -> Iterator[PrivateServer]:
    server = PrivateServer()
    yield server
    server.stop()


@pytest.fixture
def database(server: PrivateServer) -> Iterator[EpisodeDatabase]:
    database = EpisodeDatabase(server, TABLE)
    yield database
    database.close()


def names(server: Server, what: str) -> set[str]:
    """What there is on a server, of what episodes make."""
    queries = {
        "databases": "SELECT schema_name FROM information_schema.schemata",
        "accounts": "SELECT user FROM mysql.user",
    }
    rows = run_statement(server.admin, "mysql", queries[what]).rows
    return {row[0] for row in rows if row[0].startswith(("episode", "account"))}


def until(condition: Callable[[], bool]) -> None:
    """Wait for something that must come."""
    for _ in range(600):
        if condition():
            return
        time.sleep(0.05)
    pytest.fail("it never came")


def running(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def children(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@needs_mariadb
class TestDatabase:
    def test_a_database_has_its_table_and_is_dropped_with_its_account(
        self, server: PrivateServer
    ) -> None:
        database = EpisodeDatabase(server, TABLE)
        assert list(database.execute("SELECT * FROM t ORDER BY a").rows) == [("1", "x"), ("2", "y")]
        assert len(names(server, "databases")) == len(names(server, "accounts")) == 1
        database.close()
        assert not names(server, "databases") and not names(server, "accounts")

    def test_every_column_holds_text_and_no_value_becomes_null(self, server: PrivateServer) -> None:
        cells: list[str | int | float | None] = ["é🏯", 7, 1.0, None, "50%s", "'\\\""]
        table = Table("50%s `t`", tuple(f"c`%{i}" for i in range(6)), [cells])
        database = EpisodeDatabase(server, table)
        try:
            rows = database.execute("SELECT * FROM `50%s ``t```").rows
            assert list(rows) == [("é🏯", "7", "1.0", None, "50%s", "'\\\"")]
            assert database.table_hash() == hash_of([cells])
        finally:
            database.close()

    def test_the_hash_is_that_of_agentbench_whatever_the_order(
        self, server: PrivateServer, database: EpisodeDatabase
    ) -> None:
        assert database.table_hash() == hash_of([["2", "y"], ["1", "x"]])
        empty = EpisodeDatabase(server, Table("t", ("a",), []))
        assert empty.table_hash() == "[(None,)]"
        empty.close()

    def test_errors_have_the_form_of_mysql(self, database: EpisodeDatabase) -> None:
        missing = database.execute("SELECT * FROM u").error
        assert missing is not None and missing == "1146 (42S02): Table 't.u' doesn't exist"
        error = database.execute("SELEC 1").error
        assert error is not None and error.startswith("1064 (42000): You have an error in your")
        two = database.execute("SELECT 1; SELECT 2").error
        assert two == "Commands out of sync; you can't run this command now"

    def test_a_database_has_the_same_name_every_time(self, database: EpisodeDatabase) -> None:
        assert list(database.execute("SELECT DATABASE(), USER()").rows) == [
            ("t", "dbbench@localhost")
        ]
        assert list(database.execute("SELECT a FROM `t`.t WHERE b = 'x'").rows) == [("1",)]
        tables = "SELECT table_name FROM information_schema.tables WHERE table_schema = 't'"
        assert list(database.execute(tables).rows) == [("t",)]

    def test_values_are_compared_as_by_mysql_8(self, database: EpisodeDatabase) -> None:
        cases = {"'a' = 'A'": 1, "'e' = 'é'": 1, "'🏯' = '🎈'": 0, "'a' = 'a '": 0}
        for text, expected in cases.items():
            left, right = text.split(" = ")
            database.execute(f"INSERT INTO t VALUES ('{text[1]}', {right})")
            found = database.execute(f"SELECT COUNT(*) FROM t WHERE a = {left} AND b = {left}")
            assert found.rows[0][0] == expected, text
            database.execute("DELETE FROM t")
        # not strict: a wrong value becomes another one, with a warning
        database.execute("CREATE TABLE n (i INT)")
        assert database.execute("INSERT INTO n VALUES ('many')").error is None

    def test_a_statement_has_a_session_of_its_own(self, database: EpisodeDatabase) -> None:
        database.execute("SET @x = 1")
        database.execute("LOCK TABLES t WRITE")
        database.execute("START TRANSACTION")
        database.execute("INSERT INTO t VALUES ('3', 'z')")
        assert list(database.execute("SELECT @x, COUNT(*) FROM t").rows) == [(None, 3)]

    def test_a_database_reaches_no_other(self, server: PrivateServer) -> None:
        mine, other = EpisodeDatabase(server, TABLE), EpisodeDatabase(server, TABLE)
        name, user = other._name, other._user
        sleeping = threading.Thread(target=other.execute, args=("SELECT SLEEP(2)",))
        try:
            for sql in (
                f"DROP DATABASE {name}",
                f"SELECT * FROM {name}.t",
                f"INSERT INTO {name}.t VALUES ('3', 'z')",
                f"USE {name}",
                f"DROP USER {user}",
                f"SET PASSWORD FOR {user} = PASSWORD('x')",
            ):
                error = mine.execute(sql).error
                assert error is not None and "denied" in error, sql
            databases = mine.execute("SHOW DATABASES").rows
            assert {row[0] for row in databases} == {"information_schema", "t"}
            sleeping.start()
            until(lambda: bool(_threads_of(server, user)))
            error = mine.execute(f"KILL {_threads_of(server, user)[0]}").error
            assert error is not None and "not owner" in error
            sleeping.join()
            assert other.table_hash() == hash_of([["1", "x"], ["2", "y"]])
        finally:
            mine.close()
            other.close()

    def test_a_model_that_drops_its_own_database_meets_an_error(
        self, server: PrivateServer
    ) -> None:
        database = EpisodeDatabase(server, TABLE)
        assert database.execute("DROP DATABASE t").error is None
        assert database.table_hash().startswith("1049 (42000): Unknown database")
        database.close()

    def test_a_model_that_changes_its_password_meets_an_error(self, server: PrivateServer) -> None:
        database = EpisodeDatabase(server, TABLE)
        database.execute("SET PASSWORD = PASSWORD('mine')")
        assert database.table_hash().startswith("1045 (28000): Access denied")
        database.close()
        assert not names(server, "accounts")


def _threads_of(server: Server, user: str) -> list[int]:
    sql = (
        f"SELECT id FROM information_schema.processlist WHERE user = '{user}' AND info LIKE 'SEL%'"
    )
    return [row[0] for row in run_statement(server.admin, "mysql", sql).rows]


@needs_mariadb
class TestServer:
    def test_it_listens_on_its_socket_alone(self, server: PrivateServer) -> None:
        (pid,) = children(server._guard.pid)
        inodes = {os.readlink(p) for p in Path(f"/proc/{pid}/fd").iterdir() if p.exists()}
        sockets = {i[8:-1] for i in inodes if i.startswith("socket:")}
        for table in ("tcp", "tcp6", "udp", "udp6"):
            lines = Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]
            assert not sockets & {line.split()[9] for line in lines}
        assert oct(Path(server._folder).stat().st_mode)[-3:] == "700"

    def test_it_does_not_run_as_root(self, server: PrivateServer) -> None:
        (pid,) = children(server._guard.pid)
        assert Path(f"/proc/{pid}").stat().st_uid != 0

    def test_its_administrator_needs_a_password(self, server: PrivateServer) -> None:
        with pytest.raises(ServerError, match="Access denied"):
            administrate(Endpoint("root", "", socket=server.admin.socket), "SELECT 1")

    def test_all_tasks_share_one_until_it_dies(self) -> None:
        server = shared_server()
        assert shared_server() is server
        (pid,) = children(server._guard.pid)
        os.kill(pid, signal.SIGKILL)
        until(lambda: server.gone)
        again = shared_server()
        assert again is not server and not again.gone
        assert not Path(server._folder).exists()
        again.stop()

    def test_a_database_of_a_dead_server_is_an_error_not_an_answer(self) -> None:
        server = PrivateServer()
        database = EpisodeDatabase(server, TABLE)
        os.kill(children(server._guard.pid)[0], signal.SIGKILL)
        with pytest.raises(ServerError):
            database.execute("SELECT 1")
        until(lambda: server.gone)
        database.close()
        server.stop()

    def test_a_server_that_dies_within_a_statement_is_an_error(self) -> None:
        server = PrivateServer()
        database = EpisodeDatabase(server, TABLE)
        (pid,) = children(server._guard.pid)
        killer = threading.Timer(0.5, os.kill, (pid, signal.SIGKILL))
        killer.start()
        with pytest.raises(ServerError):
            database.execute("SELECT SLEEP(4)")
        killer.join()
        server.stop()

    @pytest.mark.parametrize("victim", ["owner", "guard"])
    def test_it_dies_with_its_owner_and_with_its_guard(self, victim: str) -> None:
        owner = _owner()
        pids = [int(owner.stdout.readline()) for _ in range(2)]  # type: ignore[union-attr]
        folder = Path(owner.stdout.readline().decode().strip())  # type: ignore[union-attr]
        guard, server = pids
        assert folder.is_dir() and running(guard) and running(server)
        os.kill(owner.pid if victim == "owner" else guard, signal.SIGKILL)
        until(lambda: not running(server) and not running(guard))
        if victim == "owner":
            until(lambda: not folder.exists())
        owner.kill()
        owner.communicate()
        mariadb.shutil.rmtree(folder, ignore_errors=True)

    def test_it_ends_with_a_process_that_ends(self) -> None:
        owner = _owner()
        output, _ = owner.communicate(b"\n")
        guard, server, folder = output.decode().split()
        assert owner.returncode == 0
        assert not running(int(server)) and not running(int(guard)) and not Path(folder).exists()

    def test_a_child_of_a_fork_starts_its_own(self, server: PrivateServer) -> None:
        if (pid := os.fork()) == 0:
            server.stop()  # as at its exit: nothing of its parent's
            os._exit(0 if server.gone else 1)
        assert os.waitpid(pid, 0)[1] == 0
        assert not server.gone
        server.check()

    def test_without_room_in_memory_it_keeps_its_data_in_a_temporary_folder(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(mariadb, "_ROOM", 1 << 60)
        server = PrivateServer()
        assert not server._folder.startswith("/dev/shm")
        server.stop()
        assert not Path(server._folder).exists()

    def test_one_that_does_not_start_says_why(self, monkeypatch: pytest.MonkeyPatch) -> None:
        commands = mariadb._commands
        monkeypatch.setattr(
            mariadb, "_commands", lambda *args: [[*commands(*args)[0], "--no-such-option=1"]]
        )
        folders: list[str] = []
        mkdtemp = mariadb.tempfile.mkdtemp
        monkeypatch.setattr(
            mariadb.tempfile, "mkdtemp", lambda **s: folders.append(mkdtemp(**s)) or folders[0]
        )
        with pytest.raises(ServerError, match=r"mariadbd did not start: .*no-such-option"):
            PrivateServer()
        assert folders and not Path(folders[0]).exists()

    def test_a_server_that_the_user_names_is_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        commands = mariadb._commands

        def open_port(programs: tuple[str, str], folder: Path) -> list[list[str]]:
            install, serve = commands(programs, folder)
            serve.remove("--skip-networking")
            serve.remove("--character-set-server=utf8mb4")
            serve.remove("--collation-server=utf8mb4_unicode_520_nopad_ci")
            return [install, [*serve, f"--port={port}", "--bind-address=127.0.0.1"]]

        monkeypatch.setattr(mariadb, "_commands", open_port)
        outside = PrivateServer()
        administrate(
            outside.admin,
            "CREATE USER 'boss'@'%' IDENTIFIED BY 'a/b@c%'",
            "GRANT ALL PRIVILEGES ON *.* TO 'boss'@'%' WITH GRANT OPTION",
            "SET GLOBAL sql_mode = 'STRICT_TRANS_TABLES'",
        )
        named = Server(Endpoint.parse(f"mysql://boss:a%2Fb%40c%25@127.0.0.1:{port}/"))
        named.check()
        database = EpisodeDatabase(named, Table("t", ("a",), [["🏯"]]))
        assert database.table_hash() == hash_of([["🏯"]])
        slow = database.execute("SELECT SLEEP(100)")
        assert slow.rows or slow.error  # ended, by the server or by us
        database.close()
        assert not names(outside, "databases")
        outside.stop()
        with pytest.raises(
            ServerError, match=rf"no database server at 127.0.0.1:{port}: Conn"
        ) as caught:
            named.check()
        assert "a/b@c%" not in str(caught.value)


def _owner() -> Any:
    """A process that starts a server, writes the numbers of its processes, and waits."""
    program = (
        "from mergekit_cycleqd.tasks.agentbench_db.mariadb import shared_server\n"
        "s = shared_server(); g = s._guard.pid\n"
        "print(g, open(f'/proc/{g}/task/{g}/children').read().strip(), s._folder, sep='\\n',\n"
        "      flush=True)\n"
        "input()\n"
    )
    return subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )


def test_without_mariadbd_the_ways_to_get_one_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(mariadb, "_PLACES", ())
    with pytest.raises(ServerError, match=r"apt-get install mariadb-server-core.*docker run") as e:
        PrivateServer()
    assert "\n" not in str(e.value)


def test_without_pymysql_the_line_that_mends_it_is_said() -> None:
    program = (
        "import sys; sys.modules['pymysql'] = None\n"
        "from mergekit_cycleqd.errors import CycleQDError\n"
        "try:\n"
        "    import mergekit_cycleqd.tasks.agentbench_db.task\n"
        "except CycleQDError as error:\n"
        "    print(error)\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert run.stdout.endswith("pip install 'mergekit-cycleqd[agentbench]'\n"), run.stderr


@pytest.mark.parametrize(
    "dsn",
    [
        "postgres://me:secret@host/",
        "mysql://host/",
        "mysql://me:secret@host:port/",
        "mysql://me:secret@/",
        "secret",
    ],
)
def test_a_wrong_dsn_is_refused_without_its_password(dsn: str) -> None:
    with pytest.raises(ServerError, match="mysql://user:password@host:port/") as caught:
        Endpoint.parse(dsn)
    assert "secret" not in str(caught.value)


def test_an_endpoint_does_not_show_its_password() -> None:
    assert "secret" not in repr(Endpoint.parse("mysql://me:secret@host/"))
