"""A box that takes all of what the kernel counts: no other box lacks it, and no host."""

from __future__ import annotations

import ctypes
import os
import pty
import select
import signal
from collections.abc import Callable

from mergekit_cycleqd.sandbox.base import Backend, Result

pytest_plugins = ("tests.support.boxes",)

# Takes each thing until the kernel refuses, in many processes, and keeps all of it.
GREEDY = """
import ctypes, os, platform, resource, select, signal, socket, sys, time
libc = ctypes.CDLL(None, use_errno=True)
arm = platform.machine() == "aarch64"

def call(numbers, *arguments):
    return libc.syscall(numbers[arm], *arguments)

def until_refused(take, most=200_000):
    count = 0
    try:
        while count < most and take(count):
            count += 1
    except OSError:
        pass
    return count

kept = []

def aio(number):
    context = ctypes.c_ulong(0)
    return call((206, 0), 1, ctypes.byref(context)) == 0

def inotify(number):
    return call((294, 26), 0) >= 0

def timer(number):
    made = ctypes.c_int(0)
    return call((222, 107), 0, None, ctypes.byref(made)) == 0

def terminal(number):
    kept.append(os.open("/dev/ptmx", os.O_RDWR | os.O_NOCTTY))
    return True

def queue(number):
    return call((240, 180), b"/q%d" % number, os.O_CREAT | os.O_RDWR, 0o600, None) >= 0

def pending(number):
    os.kill(os.getpid(), signal.SIGRTMIN)
    return libc.sigqueue(os.getpid(), signal.SIGRTMIN + 1, None) == 0

def watched(number):
    kept.append(poll := select.epoll())
    for fd in range(3, number + 3):
        try:
            poll.register(fd)
        except OSError:
            pass
    return True

def opened(number):
    kept.append(os.dup(0))
    return True

signal.pthread_sigmask(signal.SIG_BLOCK, range(signal.SIGRTMIN, signal.SIGRTMAX))
for what in (aio, timer, queue, inotify, pending, terminal, watched, opened):
    taken = []
    for _ in range(5):
        reads, writes = os.pipe()
        if not os.fork():
            os.write(writes, str(until_refused(what)).encode())
            time.sleep(1000)
        os.close(writes)
        taken.append(int(os.read(reads, 99) or 0))
        os.close(reads)
    print(what.__name__, sum(taken), flush=True)
"""

# What programs of problems do with it; each line of the output is a part of a score.
ORDINARY = """
script -qec 'tty; echo shown' /dev/null
timeout 5 echo in time
timeout 0.2 sleep 9; echo $?
python3 - <<'X'
import asyncio, multiprocessing, os, pty, select, signal, socket, threading
print(os.isatty(pty.openpty()[1]))
got = []
signal.signal(signal.SIGRTMIN, lambda number, frame: got.append(number))
os.kill(os.getpid(), signal.SIGRTMIN)
print(len(got))
async def main():
    return await asyncio.gather(*(asyncio.sleep(0.01, k) for k in range(9)))
print(asyncio.run(main()))
with multiprocessing.Pool(2) as pool:
    print(pool.map(abs, [-1, 2]))
one, other = socket.socketpair()
socket.send_fds(one, [b"x"], [0])
print(len(socket.recv_fds(other, 1, 1)[1]))
X
git init -q /tmp/g && git -C /tmp/g status --short | wc -l
su - nobody -s /bin/sh -c 'whoami'
"""


def ordinary(backend: Backend) -> tuple[Result, Result]:
    with backend.open() as box:
        return box.run(["bash", "-c", ORDINARY], timeout=60), box.shell().run(ORDINARY, timeout=60)


def on_the_host() -> dict[str, bool]:
    """What the host's user still gets."""
    libc = ctypes.CDLL(None, use_errno=True)
    numbers = {"x86_64": (206, 294, 222), "aarch64": (0, 26, 107)}[os.uname().machine]
    context, timer = ctypes.c_ulong(0), ctypes.c_int(0)
    calls: dict[str, Callable[[], int]] = {
        "asynchronous input and output": lambda: libc.syscall(numbers[0], 1, ctypes.byref(context)),
        "inotify": lambda: libc.syscall(numbers[1], 0),
        "a timer": lambda: libc.syscall(numbers[2], 0, None, ctypes.byref(timer)),
    }
    got = {name: call() for name, call in calls.items()}
    if got["inotify"] >= 0:
        os.close(got["inotify"])
    ours, theirs = pty.openpty()
    with select.epoll() as poll:
        poll.register(ours)
    os.close(ours)
    os.close(theirs)
    signal.sigpending()
    return {name: value >= 0 for name, value in got.items()}


def test_one_greedy_box_changes_nothing_in_another_or_on_the_host(backend: Backend) -> None:
    alone = ordinary(backend)
    assert alone[0].returncode == alone[1].returncode == 0, alone
    assert "shown" in alone[0].output and "124" in alone[0].output
    with backend.open() as greedy:
        taken = greedy.run(["python3", "-c", GREEDY], timeout=90)
        assert taken.returncode == 0, taken
        counts = dict(line.split() for line in taken.output.splitlines())
        assert {name: int(counts[name]) for name in ("aio", "timer", "inotify", "queue")} == {
            "aio": 0,
            "timer": 0,
            "inotify": 0,
            "queue": 0,
        }
        assert 0 < int(counts["terminal"]) <= 64 and int(counts["pending"]) <= 1024
        assert int(counts["opened"]) <= 5 * 256
        assert ordinary(backend) == alone
        assert all(on_the_host().values()), on_the_host()
    assert ordinary(backend) == alone
