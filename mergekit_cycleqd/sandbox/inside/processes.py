"""Processes of the box, and the pipes between them and the agent."""

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
    """Starts, feeds, hears and ends processes, one thread for all."""

    def __init__(self, channel: int) -> None:
        """Watch also `channel`, on which the host speaks.

        Attributes set here:
            readers: Pipes to read, and where what they hold goes.
            writers: Pipes to write, and what is still to be written.
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
        """Wait for something, until a time (of the monotonic clock) at most, and deal with it.

        Returns:
            Whether the host speaks, or is gone.
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
        """`turn` within a command, when the host has nothing to say: without it, the box ends."""
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
        """Take what a pipe holds now, but no more than that: some write without end."""
        for _ in range(2):
            if fd not in self.readers or not self._read(fd):
                return

    def discard(self, fd: int) -> None:
        """Throw away what comes later, so that who writes it lives on."""
        if fd in self.readers:
            self.readers[fd] = lambda piece: None

    def spawn(self, argv: list[str], env: dict[str, str], fds: dict[int, int]) -> int:
        """Start a program in a session of its own.

        Args:
            argv: Program and arguments.
            env: Variables besides `ENVIRONMENT`.
            fds: Its open files: their numbers there, and here.

        Returns:
            The process.

        Raises:
            OSError: If there can be no other process.
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
        """Kill some processes, and all that were not there `before`."""
        deadline = time.monotonic() + _STRAGGLING_SECONDS
        while time.monotonic() < deadline:
            targets = [pid for pid in named | (living_processes() - before) if _runs(pid)]
            if not targets:
                return
            # All are stopped before the first is killed: a script whose command was killed would
            # begin the next one.
            for number in (signal.SIGSTOP, signal.SIGKILL):
                for pid in targets:
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(pid, number)
            self.watch(time.monotonic() + 0.005)
        # They come faster than they go; this one call reaches all of the box at once.
        with contextlib.suppress(ProcessLookupError):
            os.kill(-1, signal.SIGKILL)
        self.watch(time.monotonic() + 0.005)


def living_processes() -> set[int]:
    """All processes of the box but the agent."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()} - {os.getpid()}


def living_under(name: bytes, before: set[int]) -> set[int]:
    """Processes of a name that were not there before, and their children."""
    found = {pid: _stat(pid) for pid in living_processes() - before}
    named = {pid for pid, (its, _, _) in found.items() if its == name}
    return named | {pid for pid, (_, _, parent) in found.items() if parent in named}


def open_pipe() -> tuple[int, int]:
    """A pipe for processes of any user; what the agent holds of it does not block."""
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
    """Name, state and parent of a process; empty where it is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            name, _, rest = file.read().rpartition(b") ")
    except (FileNotFoundError, ProcessLookupError):
        return b"", b"", 0
    state, parent = rest.split()[:2]
    return name.partition(b"(")[2], state, int(parent)
