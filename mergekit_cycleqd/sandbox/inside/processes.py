"""The processes of a box, and the pipes between them and the agent."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import time
from collections.abc import Callable

ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
}
_PIECE = 1 << 16
_STRAGGLING_SECONDS = 2.0
_LONGEST_SECONDS = 3600.0

Sink = Callable[[bytes], object]


class BoxProcesses:
    """Starts processes, writes to them, reads from them and ends them, all in one thread."""

    def __init__(self, channel: int) -> None:
        """Watch `channel`, over which the host sends requests, and later the processes.

        Attributes set here:
            readers: Pipes to read, each with the function that takes its bytes.
            writers: Pipes to write to, each with the bytes that are left.
            statuses: Exit statuses of spawned processes that ended, 128 + n for signal n.
        """
        self.channel = channel
        self.readers: dict[int, Sink] = {}
        self.writers: dict[int, bytearray] = {}
        self.statuses: dict[int, int] = {}
        self._spawned: set[int] = set()
        self._wake, wakes = os.pipe()
        for fd in (self._wake, wakes):
            os.set_blocking(fd, False)
        signal.set_wakeup_fd(wakes, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda number, frame: None)
        signal.signal(signal.SIGINT, signal.SIG_IGN)

    def wait_once(self, until: float) -> bool:
        """Wait for one event and handle it.

        Args:
            until: When to stop waiting, as a time of the monotonic clock.

        Returns:
            Whether the host has sent something or is gone.
        """
        poll = select.poll()
        for fd in (self.channel, self._wake, *self.readers):
            poll.register(fd, select.POLLIN)
        for fd in self.writers:
            poll.register(fd, select.POLLOUT)
        seconds = min(max(until - time.monotonic(), 0.0), _LONGEST_SECONDS)
        spoken = False
        for fd, _ in poll.poll(seconds * 1000):
            if fd == self.channel:
                spoken = True
            elif fd == self._wake:
                os.read(fd, _PIECE)
            elif fd in self.writers:
                self._write(fd)
            elif fd in self.readers:
                self._read(fd)
        self._reap()
        return spoken

    def watch(self, until: float) -> None:
        """Handle one event within a command; end the box if the host sends something or is gone."""
        if self.wait_once(until):
            os._exit(0)

    def _read(self, fd: int) -> bool:
        try:
            piece = os.read(fd, _PIECE)
        except BlockingIOError:
            return False
        if piece:
            self.readers[fd](piece)
        else:
            del self.readers[fd]
            os.close(fd)
        return bool(piece)

    def _write(self, fd: int) -> None:
        rest = self.writers[fd]
        try:
            del rest[: os.write(fd, rest[:_PIECE])]
        except BlockingIOError:
            return
        except BrokenPipeError:
            rest.clear()
        if not rest:
            del self.writers[fd]

    def _reap(self) -> None:
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if not pid:
                    return
                if pid in self._spawned:
                    self._spawned.remove(pid)
                    self.statuses[pid] = (
                        os.WEXITSTATUS(status)
                        if os.WIFEXITED(status)
                        else 128 + os.WTERMSIG(status)
                    )

    def drain(self, fd: int) -> None:
        """Read what a pipe holds now, and not more: some processes write without end."""
        for _ in range(2):
            if fd not in self.readers or not self._read(fd):
                return

    def discard(self, fd: int) -> None:
        """Drop all later bytes of a pipe, so that its writers can go on."""
        if fd in self.readers:
            self.readers[fd] = lambda piece: None

    def spawn(self, argv: list[str], env: dict[str, str], fds: dict[int, int]) -> int:
        """Start a program in a new session.

        Args:
            argv: Program and arguments.
            env: Variables in addition to `ENVIRONMENT`.
            fds: File descriptors: number in the program, and number here.

        Returns:
            Id of the process.

        Raises:
            OSError: If no process can be started.
        """
        encoded = [word.encode("utf-8", "replace") for word in argv]
        variables = {
            name.encode("utf-8", "replace"): value.encode("utf-8", "replace")
            for name, value in {**ENVIRONMENT, **env}.items()
        }
        pid = os.fork()
        if pid:
            self._spawned.add(pid)
            self.statuses.pop(pid, None)
            return pid
        status = 126
        try:
            _become_fresh(fds)
            os.execvpe(encoded[0], encoded, variables)  # noqa: S606
        except BaseException as error:
            status = 127 if isinstance(error, FileNotFoundError) else 126
            reason = getattr(error, "strerror", None) or str(error)
            with contextlib.suppress(OSError):
                os.write(2, b"%b: %b\n" % (encoded[0], reason.encode()))
        finally:
            os._exit(status)

    def end(self, named: set[int], before: set[int]) -> None:
        """Kill some processes, and all that did not exist `before`."""
        deadline = time.monotonic() + _STRAGGLING_SECONDS
        while time.monotonic() < deadline:
            targets = [pid for pid in named | (living_processes() - before) if _runs(pid)]
            if not targets:
                return
            # All are stopped before the first is killed: a script whose command was killed would
            # start its next command.
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in targets:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            self.watch(time.monotonic() + 0.005)
        # Processes start faster than they are killed. This call kills all of the box at once.
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        self.watch(time.monotonic() + 0.005)


def living_processes() -> set[int]:
    """List all processes of the box except the agent."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}


def living_under(name: bytes, before: set[int]) -> set[int]:
    """List processes of a name that did not exist before, and their children."""
    found = {pid: _stat(pid) for pid in living_processes() - before}
    named = {pid for pid, (its, _, _) in found.items() if its == name}
    return named | {pid for pid, (_, _, parent) in found.items() if parent in named}


def open_pipe() -> tuple[int, int]:
    """Open a pipe that processes of any user can write to."""
    reads, writes = os.pipe()
    os.fchmod(writes, 0o666)
    return reads, writes


def _become_fresh(fds: dict[int, int]) -> None:
    os.setsid()
    moved = {there: fcntl.fcntl(here, fcntl.F_DUPFD_CLOEXEC, 20) for there, here in fds.items()}
    for there, here in moved.items():
        os.dup2(here, there)
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGPIPE, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")
    os.umask(0o022)
    try:
        os.chdir("/root")
    except OSError:
        os.chdir("/")


def _runs(pid: int) -> bool:
    return _stat(pid)[1] not in (b"Z", b"X", b"")


def _stat(pid: int) -> tuple[bytes, bytes, int]:
    """Read name, state and parent of a process; empty if it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            name, _, rest = file.read().rpartition(b") ")
    except (FileNotFoundError, ProcessLookupError):
        return b"", b"", 0
    state, parent = rest.split()[:2]
    return name.partition(b"(")[2], state, int(parent)
