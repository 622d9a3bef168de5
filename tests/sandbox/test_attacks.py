"""Nothing that runs in a box reaches this machine, or the next box, and the backend goes on."""

from __future__ import annotations

import os
import secrets
import signal
import socket
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from mergekit_cycleqd.sandbox.base import Backend, Box, Result
from mergekit_cycleqd.sandbox.cgroups import find_hierarchy
from tests.support.attacks import HUNGRY_ATTACKS, PYTHON_ATTACKS, PYTHON_PRELUDE, SHELL_ATTACKS

pytest_plugins = ("tests.support.boxes",)

SURVIVOR = str(10**6 + secrets.randbelow(10**6))
# A box as it begins: its names, modes and owners, its processes.
STATE = """
stat -c '%A %U %n' / /* /dev/* /etc/* /root/.[a-z]* /run/* /var/* /usr/*
ls -A /home /root /tmp /dev/shm /mnt /opt /srv
sha256sum /etc/passwd /etc/shadow /bin/bash /bin/su
cat /etc/hostname
ps -A -o user=,args=
"""


@dataclass
class Host:
    """What attacks aim at on this machine."""

    words: dict[str, object]
    token: str
    victim: subprocess.Popen[bytes]
    connections: list[object]
    root: Path

    def state(self) -> dict[str, object]:
        """What must be the same after any attack."""
        nodes = [Path("/dev", name).stat() for name in ("null", "zero", "full", "urandom", "tty")]
        settings = ("kernel/core_pattern", "kernel/hostname", "kernel/modprobe", "fs/file-max")
        paths = [Path("/proc/sys", name) for name in settings]
        shared = ("etc/passwd", "usr/bin/bash", "usr/lib", "")
        return {
            "devices": [(node.st_mode, node.st_uid) for node in nodes],
            "settings": [path.read_text() for path in paths if path.exists()],
            "root": [(self.root / name).stat().st_mtime_ns for name in shared],
            "names in the root": sorted(os.listdir(self.root)),
            "secret": Path(str(self.words["secret"])).read_text(),
            "mounts": Path("/proc/self/mounts").read_text().count("cycleqd-box"),
            "groups": groups_of(os.getpid()),
            "victim": self.victim.poll(),
            "connections": len(self.connections),
        }


def groups_of(pid: int) -> list[str]:
    """Control groups of the boxes that a process opened."""
    hierarchy = find_hierarchy()
    folders = {hierarchy.memory, hierarchy.pids} if hierarchy else set()
    names = [name for folder in folders for name in os.listdir(folder)]
    return sorted(name for name in names if name.startswith(f"cycleqd-{pid}-"))


def state_of(box: Box) -> list[str]:
    return box.run(["bash", "-c", STATE]).output.splitlines()


def survivors() -> list[str]:
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            command = (folder / "cmdline").read_bytes().decode("utf-8", "replace")
        except OSError:
            continue
        if command.split("\0")[:2] == ["sleep", SURVIVOR]:
            found.append(folder.name)
    return found


def wait_until_gone() -> None:
    deadline = time.monotonic() + 20
    while survivors() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert survivors() == []


@pytest.fixture(scope="module")
def host(tmp_path_factory: pytest.TempPathFactory, sandbox_root: Path) -> Iterator[Host]:
    folder = tmp_path_factory.mktemp("host")
    token = secrets.token_hex(8)
    (folder / "secret").write_text(token)
    servers = [socket.create_server(("0.0.0.0", 0)), *(socket.socket(socket.AF_UNIX) for _ in "ab")]
    abstract = f"cycleqd-{token}"
    servers[1].bind(f"\0{abstract}")
    servers[2].bind(str(folder / "socket"))
    connections: list[object] = []

    def accept(server: socket.socket) -> None:
        while True:
            try:
                connection, address = server.accept()
            except OSError:
                return
            connections.append(address)
            connection.close()

    threads = []
    for server in servers:
        server.listen()
        threads.append(threading.Thread(target=accept, args=(server,)))
        threads[-1].start()
    victim = subprocess.Popen(["sleep", "1000"], env={"TOKEN": token})
    device = os.stat("/").st_dev
    words: dict[str, object] = {
        "secret": str(folder / "secret"),
        "survivor": SURVIVOR,
        "folder": str(folder),
        "victim": victim.pid,
        "major": os.major(device),
        "minor": os.minor(device),
        "port": servers[0].getsockname()[1],
        "addresses": sorted({info[4][0] for info in socket.getaddrinfo(socket.gethostname(), 0)}),
        "abstract": abstract,
        "socket_path": str(folder / "socket"),
    }
    yield Host(words, token, victim, connections, sandbox_root)
    for server in servers:
        server.shutdown(socket.SHUT_RDWR)
        server.close()
    for thread in threads:
        thread.join()
    victim.kill()
    victim.wait()


@pytest.fixture(scope="module")
def clean(backend: Backend) -> list[str]:
    """What a box is like that nobody has been in."""
    with backend.open() as box:
        return state_of(box)


@pytest.fixture
def attacked(backend: Backend, host: Host, clean: list[str]) -> Iterator[Box]:
    """A box to attack from; then all is looked after."""
    before = host.state()
    with backend.open() as box:
        yield box
    wait_until_gone()
    assert host.state() == before
    with backend.open() as following:
        assert state_of(following) == clean
        assert following.shell().run("whoami; echo x > /dev/null") == Result(0, "root\n")


def assert_held(done: Result, host: Host) -> None:
    assert "ESCAPED" not in done.output, done.output
    assert host.token not in done.output + done.errors


@pytest.mark.parametrize("name", SHELL_ATTACKS)
def test_shell_attack_is_held(attacked: Box, host: Host, name: str) -> None:
    commands = SHELL_ATTACKS[name].format(**host.words)
    assert_held(attacked.run(["bash", "-c", commands], timeout=10), host)
    assert_held(attacked.shell().run(commands, timeout=10), host)
    assert attacked.run(["true"]).returncode in (0, 126, 127)


@pytest.mark.parametrize("name", PYTHON_ATTACKS)
def test_attack_by_system_calls_is_held(attacked: Box, host: Host, name: str) -> None:
    program = PYTHON_PRELUDE + PYTHON_ATTACKS[name].format(**host.words)
    done = attacked.run(["python3", "-"], stdin=program, timeout=20)
    assert_held(done, host)
    assert "NameError" not in done.errors
    assert "SyntaxError" not in done.errors
    assert attacked.run(["true"]).returncode == 0


@pytest.mark.parametrize("name", HUNGRY_ATTACKS)
def test_hunger_is_limited(attacked: Box, host: Host, backend: Backend, name: str) -> None:
    free = os.statvfs("/").f_bavail * os.statvfs("/").f_frsize
    done = attacked.run(["bash", "-c", HUNGRY_ATTACKS[name]], timeout=6 if "disk" in name else 1)
    assert len(done.output.encode()) + len(done.errors.encode()) <= 4 * backend.limits.output
    # What follows in the same box is a result, whichever: a check that fails is the model's doing.
    assert attacked.run(["true"], timeout=5).returncode in (0, 126, 137, None)
    attacked.shell().run("echo", timeout=5)
    assert free - os.statvfs("/").f_bavail * os.statvfs("/").f_frsize < 8 << 30


def test_the_victim_could_be_reached_without_a_box(host: Host) -> None:
    """The attacks aim at what is there: the same ways work from outside of a box."""
    count = len(host.connections)
    socket.create_connection(("127.0.0.1", int(str(host.words["port"]))), 5).close()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(f"\0{host.words['abstract']}")
    deadline = time.monotonic() + 10
    while len(host.connections) < count + 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert len(host.connections) == count + 2
    assert host.token in Path(f"/proc/{host.victim.pid}/environ").read_text()
    assert Path(str(host.words["secret"])).read_text() == host.token


def test_a_box_of_a_killed_program_ends_with_it(
    backend: Backend, host: Host, sandbox_root: Path, request: pytest.FixtureRequest
) -> None:
    kind = "docker" if "docker" in request.node.callspec.id else "bubblewrap"
    before = host.state()
    program = f"""
import sys, time
from mergekit_cycleqd.sandbox.open import open_backend
box = open_backend({kind!r}, root={str(sandbox_root)!r}).open()
box.run(["bash", "-c", "setsid sleep {SURVIVOR} >/dev/null 2>&1 &"])
print("running", flush=True)
box.run(["sleep", "{SURVIVOR}"], timeout=1000)
"""
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"running\n"
        deadline = time.monotonic() + 20
        while len(survivors()) < 2 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert len(survivors()) == 2
        child.send_signal(signal.SIGKILL)
    wait_until_gone()
    deadline = time.monotonic() + 20
    while groups_of(child.pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert groups_of(child.pid) == []
    assert host.state() == before


def test_device_nodes_of_the_box_are_its_own(attacked: Box) -> None:
    mode = attacked.run(["bash", "-c", "chmod 600 /dev/null; stat -c %a /dev/null"]).output
    assert mode == "600\n"
    assert stat.S_IMODE(os.stat("/dev/null").st_mode) == 0o666


def test_commands_have_no_capability_that_reaches_the_machine(attacked: Box) -> None:
    status = attacked.run(["cat", "/proc/self/status"]).output
    fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
    dangerous = (1, 2, 11, 12, 13, 16, 17, 18, 19, 21, 22, 23, 24, 25, 27, 32, 33, 34, 38, 39, 40)
    held = int(fields["CapPrm"], 16) | int(fields["CapEff"], 16) | int(fields["CapAmb"], 16)
    allowed = {1}  # DAC_OVERRIDE: root of the box reads the box's files.
    assert [number for number in dangerous if held >> number & 1 and number not in allowed] == []
    assert (fields["NoNewPrivs"], fields["Seccomp"]) == ("1", "2")
