"""Boxes for tests: a root shared by the whole machine, a Docker engine, and both backends."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from mergekit_cycleqd.sandbox import bubblewrap, docker
from mergekit_cycleqd.sandbox.base import Backend, Box, Limits, SandboxError
from mergekit_cycleqd.sandbox.root import build_root
from tests.support.costly import costly, takes

KINDS = ("bubblewrap", "docker")
LIMITS = Limits(memory=256 << 20, processes=48, disk=64 << 20, output=64 << 10, seconds=20.0)
_DAEMON_SECONDS = 60
_DAEMON_BYTES = 4 << 30
# What it mounts is seen by it alone, and it ends with the tests, also if they are killed.
_APART = ("unshare", "--mount", "setpriv", "--pdeathsig", "TERM")


def skip(reason: str) -> None:
    """Skip for want of a part of the system; on CI, where all parts have to be, fail."""
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


@pytest.fixture
def need() -> Callable[[str | None], None]:
    """Call it with what is missing, or None."""
    return lambda missing: skip(missing) if missing else None


@pytest.fixture(scope="session")
@costly
def sandbox_root() -> Path:
    """The root folder: the user's own, which is built at most once on a machine."""
    takes("a box")
    named = os.environ.get("MERGEKIT_CYCLEQD_TEST_ROOT")
    if named:
        return Path(named)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MERGEKIT_CYCLEQD_CACHE", raising=False)
        try:
            return build_root()
        except SandboxError as error:
            skip(str(error))
            raise


@pytest.fixture(scope="session")
@costly
def docker_engine() -> Iterator[None]:
    """A Docker engine: the one that answers, or one of the tests' own."""
    takes("Docker")
    if docker.docker_fault() is None:
        yield
        return
    if os.geteuid() != 0 or not shutil.which("dockerd"):
        skip("no Docker engine answers, and dockerd is missing: `apt-get install docker.io`")
    # In memory, where there is room for it: images are thousands of files.
    room = os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > _DAEMON_BYTES
    folder = tempfile.mkdtemp(prefix="cycleqd-docker-", dir="/dev/shm" if room else None)
    with open(f"{folder}/log", "wb") as log, pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{folder}/docker.sock")
        daemon = subprocess.Popen(
            [
                *_APART,
                "dockerd",
                "--iptables=false",
                "--ip6tables=false",
                "--bridge=none",
                f"--data-root={folder}/data",
                f"--exec-root={folder}/exec",
                f"--pidfile={folder}/pid",
                f"--host=unix://{folder}/docker.sock",
            ],
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            deadline = time.monotonic() + _DAEMON_SECONDS
            while (lacking := docker.docker_fault()) and daemon.poll() is None:
                if time.monotonic() > deadline:
                    break
                time.sleep(0.2)
            if lacking:
                skip(f"{lacking}; {Path(log.name).read_text()[-500:]}")
            yield
        finally:
            daemon.send_signal(signal.SIGTERM)
            daemon.wait(_DAEMON_SECONDS)
    shutil.rmtree(folder, ignore_errors=True)


def _open(kind: str, limits: Limits, request: pytest.FixtureRequest) -> Backend:
    """A backend of one kind, or skip."""
    root: Path = request.getfixturevalue("sandbox_root")
    if kind == "docker":
        request.getfixturevalue("docker_engine")
        return docker.DockerBackend(limits, root)
    lacking = bubblewrap.bubblewrap_fault()
    if lacking:
        skip(lacking)
    return bubblewrap.BubblewrapBackend(limits, root)


@pytest.fixture(scope="session", params=KINDS)
@costly
def backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend, with small limits."""
    opened = _open(request.param, LIMITS, request)
    yield opened
    opened.close()


@pytest.fixture(params=KINDS)
@costly
def hurried_backend(request: pytest.FixtureRequest) -> Iterator[Backend]:
    """Each backend, with half a second for a command."""
    opened = _open(request.param, replace(LIMITS, seconds=0.5), request)
    yield opened
    opened.close()


@pytest.fixture
def box(backend: Backend) -> Iterator[Box]:
    """A box for one test."""
    with backend.open() as opened:
        yield opened
