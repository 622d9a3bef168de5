"""Boxes by Docker: containers without a network, with few capabilities, removed when they end.

What a box writes is on the engine's disk, for which Docker has no limit that works everywhere. So
each file has the limit `Limits.disk`, and a box that has written more in total is ended. This is
checked every second of a command, so that a box may exceed the limit for up to a second.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import re
import socket
import subprocess
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from filelock import FileLock

from mergekit_cycleqd.sandbox.agent_box import (
    AGENT_ARGV,
    AGENT_PATH,
    CAPABILITIES,
    AgentBackend,
    AgentBox,
    agent_archive,
)
from mergekit_cycleqd.sandbox.base import Limits, SandboxError
from mergekit_cycleqd.sandbox.lines import DockerLine
from mergekit_cycleqd.sandbox.root import PATH, check_root, roots_folder

if TYPE_CHECKING:
    from docker import APIClient
    from docker.types import HostConfig

_DEFAULT_SOCKET = "unix:///var/run/docker.sock"
_REPOSITORY = "mergekit-cycleqd-box"
_PING_SECONDS = 5
_CALL_SECONDS = 120
_PAUSE_SECONDS = 0.05
_TERMINALS = "newinstance,ptmxmode=0666,mode=620,gid=5,max=64"
_MENDING = "start the engine, or name its socket by DOCKER_HOST"


def _engine_address() -> str:
    return os.environ.get("DOCKER_HOST") or _DEFAULT_SOCKET


def docker_fault() -> str | None:
    """Say what Docker boxes lack here and how to get it; None if an engine answers."""
    try:
        import docker
    except ImportError:
        return "docker boxes need a package: run `pip install mergekit-cycleqd[agentbench]`"
    try:
        if _engine_address().startswith("unix://"):
            # Tried first, since the docker package leaves a socket open if this fails.
            with socket.socket(socket.AF_UNIX) as probe:
                probe.connect(_engine_address().removeprefix("unix://"))
        with contextlib.closing(
            docker.APIClient(_engine_address(), timeout=_PING_SECONDS)
        ) as client:
            client.ping()
    except (docker.errors.DockerException, OSError) as error:
        return (
            f"docker boxes need an engine, and {_engine_address()} does not answer ({error}); "
            f"{_MENDING}"
        )
    return None


@contextlib.contextmanager
def _engine(what: str) -> Iterator[APIClient]:
    """Connect to the engine, for use by this thread.

    Args:
        what: What is done, for the message.

    Raises:
        SandboxError: If the engine cannot be reached or reports an error.
    """
    import docker

    try:
        with contextlib.closing(
            docker.APIClient(_engine_address(), timeout=_CALL_SECONDS)
        ) as client:
            yield client
    except (docker.errors.DockerException, OSError) as error:
        raise SandboxError(f"{what}: {error}") from error


class DockerBox(AgentBox):
    """A box that is a container."""

    def __init__(self, limits: Limits, image: str) -> None:
        """Start the container and wait for its agent.

        Args:
            limits: Limits of the box.
            image: Name of the image.

        Raises:
            SandboxError: If the box does not start, with the message of the engine.
        """
        self._too_large = False
        self._began = int(time.time())
        with _engine("a box did not start") as client:
            self._container: str = client.create_container(
                image,
                entrypoint=list(AGENT_ARGV),
                user="0:0",
                hostname="box",
                working_dir="/",
                environment={"PATH": PATH},
                stdin_open=True,
                healthcheck={"test": ["NONE"]},
                host_config=_host_config(client, limits),
            )["Id"]
            try:
                client.put_archive(self._container, "/", _agent_tar())
                streams = {"stdin": 1, "stdout": 1, "stderr": 1, "stream": 1}
                self._stream = DockerLine(client.attach_socket(self._container, streams))
                super().__init__(self._stream, limits)
                client.start(self._container)
                self.wait_ready()
            except BaseException:
                self._remove(client)
                raise

    def _check(self) -> None:
        """End the box if it has written too much."""
        import docker

        with _engine("a box cannot be looked at") as client:
            for found in client.containers(size=True, filters={"id": self._container}):
                if found.get("SizeRw", 0) > self._limits.disk:
                    self._too_large = True
                    # The container may have ended meanwhile.
                    with contextlib.suppress(docker.errors.APIError):
                        client.kill(self._container)

    def _cause_of_end(self) -> str | None:
        if self._too_large:
            return f"it wrote more than {self._limits.disk} bytes"
        filters = {"container": self._container, "event": "oom"}
        with _engine("a box broke") as client:
            events = client.events(since=self._began, until=int(time.time()) + 1, filters=filters)
            if any(True for _ in events):
                return "out of memory"
        return None

    def _last_error(self) -> str:
        said = self._stream.errors.decode("utf-8", "replace").strip().splitlines()
        return said[-1] if said else "its container ended"

    def _destroy(self) -> None:
        with _engine("a box cannot be removed") as client:
            self._remove(client)

    def _remove(self, client: APIClient) -> None:
        """Remove the container; one that has ended is removed by the engine.

        The engine refuses while it removes a container, or if the container ends just before it is
        killed. So this is tried again for a while.
        """
        import docker

        until = time.monotonic() + _CALL_SECONDS
        while True:
            try:
                client.remove_container(self._container, force=True, v=True)
                return
            except docker.errors.NotFound:
                return
            except docker.errors.APIError:
                if time.monotonic() > until:
                    raise
                time.sleep(_PAUSE_SECONDS)


def _host_config(client: APIClient, limits: Limits) -> HostConfig:
    from docker.types import DriverConfig, LogConfig, Mount, Ulimit

    # Terminals of the box alone, and not all that the machine has.
    terminals = {"type": "devpts", "device": "devpts", "o": _TERMINALS}

    return client.create_host_config(
        auto_remove=True,
        network_mode="none",
        mem_limit=limits.memory,
        memswap_limit=limits.memory,
        pids_limit=limits.processes + 1,
        cap_drop=["ALL"],
        cap_add=[name.removeprefix("CAP_") for name in CAPABILITIES],
        security_opt=["no-new-privileges"],
        ulimits=[Ulimit(name="fsize", soft=limits.disk, hard=limits.disk)],
        mounts=[Mount("/dev/pts", None, "volume", driver_config=DriverConfig("local", terminals))],
        # Otherwise the engine would log all that goes over the line.
        log_config=LogConfig(type="none"),
    )


def _agent_tar() -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        member = tarfile.TarInfo(AGENT_PATH.lstrip("/"))
        member.size = len(agent_archive())
        member.mode = 0o600
        tar.addfile(member, io.BytesIO(agent_archive()))
    return buffer.getvalue()


class DockerBackend(AgentBackend):
    """Makes boxes from one image."""

    def __init__(self, limits: Limits, image: str | Path) -> None:
        """Check that boxes work here.

        Args:
            limits: Limits of each box.
            image: Name of an image, or a root folder, which is imported at its first use.

        Raises:
            SandboxError: If no engine answers or it lacks the image, with advice.
        """
        lacking = docker_fault()
        if lacking:
            raise SandboxError(lacking)
        super().__init__(limits)
        self._image = _imported(image) if isinstance(image, Path) else _present(image)

    def _new(self) -> AgentBox:
        return DockerBox(self.limits, self._image)


def _has(client: APIClient, image: str) -> bool:
    import docker

    try:
        client.inspect_image(image)  # type: ignore[no-untyped-call]
    except docker.errors.ImageNotFound:
        return False
    return True


def _present(image: str) -> str:
    with _engine(f"image {image}") as client:
        if not _has(client, image):
            raise SandboxError(
                f"docker boxes need the image {image}, and the engine lacks it; "
                f"run `docker pull {image}`"
            )
    return image


def _imported(root: Path) -> str:
    """Give the engine's image of a root folder. It is imported if it does not exist."""
    check_root(root)
    changed = f"{root.resolve()} {root.stat().st_mtime_ns}"
    digest = hashlib.sha256(changed.encode()).hexdigest()[:12]
    tag = f"{re.sub(r'[^a-zA-Z0-9_]+', '-', root.name).strip('-')[:64]}-{digest}"
    image = f"{_REPOSITORY}:{tag}"
    roots_folder().mkdir(parents=True, exist_ok=True)
    with FileLock(roots_folder() / ".import.lock"), _engine(f"import of {root}") as client:
        if not _has(client, image):
            _import(client, root, tag)
    return image


def _import(client: APIClient, root: Path, tag: str) -> None:
    command = ["tar", "--create", "--numeric-owner", "--exclude=./dev/*", "-C", str(root), "."]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as tar:  # noqa: S603
        try:
            client.import_image_from_data(tar.stdout, repository=_REPOSITORY, tag=tag)
        except BaseException:
            tar.kill()
            raise
    if tar.returncode:
        client.remove_image(f"{_REPOSITORY}:{tag}")
        raise SandboxError(f"{root}: tar cannot read all of it ({tar.returncode})")
