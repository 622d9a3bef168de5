"""Which backend makes the boxes, and what a backend that cannot is missing."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mergekit_cycleqd.sandbox import bubblewrap, docker
from mergekit_cycleqd.sandbox.base import Backend, Limits, SandboxError
from mergekit_cycleqd.sandbox.root import build_root, find_root, import_root, missing_to_build

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Available:
    """Whether a backend works on this machine.

    Attributes:
        name: "docker" or "bubblewrap".
        missing: What it lacks, and how to mend that; None if it works.
    """

    name: str
    missing: str | None

    @property
    def available(self) -> bool:
        """Whether it works."""
        return self.missing is None


def backends() -> list[Available]:
    """All backends, in the order in which "auto" takes them."""
    needs_root = None if find_root() else missing_to_build()
    return [
        Available("docker", docker.docker_fault()),
        Available("bubblewrap", bubblewrap.bubblewrap_fault() or needs_root),
    ]


def choose(kind: str, limits: Limits, root: str | Path | None) -> Backend:
    """See `sandbox.open_backend`."""
    if kind == "auto":
        kind = "bubblewrap" if docker.docker_fault() else "docker"
    if kind == "docker":
        image = str(root) if root is not None and not Path(root).exists() else _folder(root)
        return docker.DockerBackend(limits, image)
    if kind == "bubblewrap":
        lacking = bubblewrap.bubblewrap_fault()
        if lacking:
            raise SandboxError(lacking)
        return bubblewrap.BubblewrapBackend(limits, _folder(root))
    raise SandboxError(f"sandbox: must be auto, docker or bubblewrap, got {kind!r}")


def _folder(root: str | Path | None) -> Path:
    """The root as a folder, made now if it is not there."""
    if root is None:
        return find_root() or build_root(_LOGGER.info)
    path = Path(root)
    if path.is_file():
        return import_root(path, _LOGGER.info)
    if not path.is_dir():
        raise SandboxError(f"{path}: a sandbox root is a folder or a tar file, and there is none")
    return path


def open_backend(
    kind: Literal["auto", "docker", "bubblewrap"] = "auto",
    limits: Limits | None = None,
    root: str | Path | None = None,
) -> Backend:
    """The backend that makes boxes here.

    Args:
        kind: "auto" is Docker where an engine answers, and bubblewrap elsewhere.
        limits: Of each box; None for the defaults.
        root: What boxes start from: a folder or a tar file of one; for Docker also the name of an
            image of the engine. None is the root of `root.build_root`, built now if it is missing.

    Raises:
        SandboxError: If no such boxes can be had, with what mends it.
    """
    return choose(kind, limits or Limits(), root)
