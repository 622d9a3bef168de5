"""The database server of an evaluation: a private mariadbd, or a server that the user names.

The private server listens on a unix socket only, and keeps its data in memory if there is room. All
tasks of this process share it. It starts when it is first needed, and ends with the process, even
if the process is killed (see `server_guard.py`).
"""

from __future__ import annotations

import atexit
import json
import os
import pwd
import secrets
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

from mergekit_cycleqd.tasks.agentbench_db.model_statements import SECONDS
from mergekit_cycleqd.tasks.agentbench_db.mysql_client import (
    SQL_MODE,
    Endpoint,
    ServerError,
    administrate,
)

_IN_MEMORY = Path("/dev/shm")  # noqa: S108
_ROOM = 1 << 30  # bytes that must be free in memory for the data folder
_MEMORY = 3 << 30  # bytes of memory for the server; a statement that needs more gets an error
_FILE_SIZE = 256 << 20  # largest size of one file of the server, in bytes
_START = 60.0  # seconds to wait for the server's first answer
_PLACES = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/libexec")


class Server:
    """A database server, and an account that may make databases on it.

    Attributes:
        admin: The account.
        database_options: The text after the name in CREATE DATABASE.
    """

    database_options = "CHARACTER SET utf8mb4"

    def __init__(self, admin: Endpoint) -> None:
        """Keep the account; nothing is connected."""
        self.admin = admin

    @property
    def gone(self) -> bool:
        """Whether the server is known to have ended, with all its databases."""
        return False

    def check(self) -> None:
        """Check that the server answers.

        Raises:
            ServerError: If it does not answer.
        """
        administrate(self.admin, "SELECT 1")


class PrivateServer(Server):
    """A private mariadbd, which runs from construction to `stop`."""

    database_options = ""  # the server's defaults are right already

    def __init__(self) -> None:
        """Make a new data folder, and start the server in it, which takes about a second.

        Raises:
            ServerError: If mariadbd is missing or does not start.
        """
        programs = find_programs()
        in_memory = os.access(_IN_MEMORY, os.W_OK) and shutil.disk_usage(_IN_MEMORY).free > _ROOM
        # a socket's path may have at most 107 characters, so the folder's path must be short
        self._folder = tempfile.mkdtemp(prefix="cycleqd-", dir=_IN_MEMORY if in_memory else None)
        super().__init__(Endpoint("root", "", socket=f"{self._folder}/socket"))
        job = {
            "folder": self._folder,
            "commands": _commands(programs, Path(self._folder)),
            "user": _other_user(),
            "memory": _MEMORY,
            "file_size": _FILE_SIZE,
        }
        guard = Path(__file__).with_name("server_guard.py")
        self._owner = os.getpid()
        self._guard = subprocess.Popen(  # noqa: S603
            [sys.executable, "-I", "-S", str(guard), json.dumps(job)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # not ended by Ctrl-C: episodes must still drop their databases
        )
        atexit.register(self.stop)
        try:
            self._wait()
            # without a password, other processes of the server's user could open its socket
            password = secrets.token_hex(16)
            administrate(self.admin, ("SET PASSWORD = PASSWORD(%s)", [password]))
            self.admin = Endpoint("root", password, socket=self.admin.socket)
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        deadline = time.monotonic() + _START
        while True:
            try:
                self.check()
                return
            except ServerError:
                if self.gone:
                    output, _ = self._guard.communicate()
                    lines = output.decode(errors="replace").strip().splitlines()
                    reason = next((line for line in lines if "ERROR" in line), "".join(lines[-1:]))
                    raise ServerError(f"mariadbd did not start: {reason}") from None
                if time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    @property
    def gone(self) -> bool:
        """Whether the server ended, or belongs to the process that this one was forked from."""
        return os.getpid() != self._owner or self._guard.poll() is not None

    def check(self) -> None:
        """Check that the server runs and answers.

        Raises:
            ServerError: If it ended or does not answer.
        """
        if self.gone:
            raise ServerError("the private mariadbd has ended")
        super().check()

    def stop(self) -> None:
        """End the server, and remove its data."""
        atexit.unregister(self.stop)
        if os.getpid() != self._owner:
            return
        for pipe in (self._guard.stdin, self._guard.stdout):
            if pipe is not None:
                pipe.close()
        self._guard.wait()


def find_programs() -> tuple[str, str]:
    """Find the paths of mariadb-install-db and mariadbd.

    Raises:
        ServerError: If one of them is not installed. The message says how to get it.
    """
    path = os.pathsep.join((os.environ.get("PATH", ""), *_PLACES))
    found = [shutil.which(name, path=path) for name in ("mariadb-install-db", "mariadbd")]
    if found[0] is None or found[1] is None:
        raise ServerError(
            "databases need a server, and mariadbd is not installed: "
            "apt-get install mariadb-server-core mariadb-client-core; or use one in a container: "
            "docker run --rm -p 3306:3306 -e MARIADB_ROOT_PASSWORD=... mariadb:11, "
            "with the option dsn: mysql://root:...@127.0.0.1:3306/"
        )
    return found[0], found[1]


_lock = threading.Lock()
_shared: list[PrivateServer] = []


def shared_server() -> PrivateServer:
    """Get the private server of this process. It is started if none runs.

    Raises:
        ServerError: If it cannot be started.
    """
    with _lock:
        if not _shared or _shared[0].gone:
            for ended in _shared:
                ended.stop()
            _shared[:] = [PrivateServer()]
        return _shared[0]


def _other_user() -> tuple[int, int] | None:
    """Choose a user for the server if this process is root, since mariadbd must not run as root."""
    if os.geteuid() != 0:
        return None
    for name in ("mysql", "nobody"):
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return entry.pw_uid, entry.pw_gid
    raise ServerError("mariadbd must not run as root, and there is no user mysql or nobody")


def _commands(programs: tuple[str, str], folder: Path) -> list[list[str]]:
    install, server = programs
    data = f"--datadir={folder / 'data'}"
    # "loose": a version without this option only prints a warning
    no_sync = "--loose-innodb-flush-method=nosync"
    return [
        [
            install,
            "--no-defaults",
            data,
            no_sync,
            "--skip-name-resolve",
            "--skip-test-db",
            "--auth-root-authentication-method=normal",
        ],
        [
            server,
            "--no-defaults",
            data,
            f"--socket={folder / 'socket'}",
            f"--pid-file={folder / 'pid'}",
            f"--tmpdir={folder}",
            "--skip-networking",
            "--skip-name-resolve",
            "--skip-symbolic-links",
            "--skip-log-bin",
            "--character-set-server=utf8mb4",
            # the collation of MariaDB that is most like the default of MySQL 8
            "--collation-server=utf8mb4_unicode_520_nopad_ci",
            f"--sql-mode={SQL_MODE}",
            no_sync,
            "--innodb-flush-log-at-trx-commit=0",
            "--loose-skip-innodb-doublewrite",
            "--innodb-buffer-pool-size=64M",
            "--innodb-log-file-size=16M",
            "--innodb-data-file-path=ibdata1:12M:autoextend:max:192M",
            "--innodb-temp-data-file-path=ibtmp1:12M:autoextend:max:192M",
            "--loose-performance-schema=OFF",
            "--local-infile=0",
            f"--secure-file-priv={folder / 'data' / 'mysql'}",
            f"--max-statement-time={SECONDS}",
            "--max-connections=512",
            "--max-allowed-packet=1M",
            "--max-session-mem-used=64M",
            "--tmp-disk-table-size=64M",
            "--group-concat-max-len=1024",  # the default of MySQL
            f"--lock-wait-timeout={SECONDS}",
            f"--innodb-lock-wait-timeout={SECONDS}",
        ],
    ]
