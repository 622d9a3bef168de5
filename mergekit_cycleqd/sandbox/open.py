"""Open the backend that makes the boxes: a row per kind, with what it is missing here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.sandbox import bubblewrap, docker
from mergekit_cycleqd.sandbox.base import Backend, Limits, SandboxError
from mergekit_cycleqd.sandbox.root import build_root, find_root, import_root, missing_to_build

_LOGGER = logging.getLogger(__name__)

AUTO = "auto"
"""The choice of the first backend that works here."""


@dataclass(frozen=True, slots=True)
class Opener:
    """How a backend is had.

    Attributes:
        missing: What it lacks here and how to mend that; None if it works.
        open: Opens it, given the limits of each box and what boxes start from, as in
            `open_backend`; raises a SandboxError if it cannot.
        builds_root: Whether this machine must be able to build the root, where there is none yet.
    """

    missing: Callable[[], str | None]
    open: Callable[[Limits, str | Path | None], Backend]
    builds_root: bool = False


def _docker(limits: Limits, root: str | Path | None) -> Backend:
    image = str(root) if root is not None and not Path(root).exists() else _folder(root)
    return docker.DockerBackend(limits, image)


def _bubblewrap(limits: Limits, root: str | Path | None) -> Backend:
    if lacking := bubblewrap.bubblewrap_fault():
        raise SandboxError(lacking)
    return bubblewrap.BubblewrapBackend(limits, _folder(root))


BACKENDS: Mapping[str, Opener] = {
    "docker": Opener(docker.docker_fault, _docker),
    "bubblewrap": Opener(bubblewrap.bubblewrap_fault, _bubblewrap, builds_root=True),
}
"""In the order in which `AUTO` takes them."""

KINDS = (AUTO, *BACKENDS)
"""What a task's option `backend` may be."""


@dataclass(frozen=True, slots=True)
class Available:
    """Whether a backend works on this machine.

    Attributes:
        name: A key of `BACKENDS`.
        missing: What it lacks, and how to mend that; None if it works.
    """

    name: str
    missing: str | None

    @property
    def available(self) -> bool:
        """Whether it works."""
        return self.missing is None


def backends() -> list[Available]:
    """All backends, in the order in which `AUTO` takes them."""
    needs_root = None if find_root() else missing_to_build()
    return [
        Available(name, kind.missing() or (needs_root if kind.builds_root else None))
        for name, kind in BACKENDS.items()
    ]


def check_backend(kind: str) -> None:
    """See that boxes can be had here, before any model is loaded.

    Args:
        kind: One of `KINDS`.

    Raises:
        SandboxError: If not, with what is missing and how to mend it.
    """
    lacking = [BACKENDS[name].missing() for name in (BACKENDS if kind == AUTO else (kind,))]
    if all(lacking):
        raise SandboxError("; or: ".join(reason for reason in lacking if reason))


def open_backend(
    kind: str = AUTO,
    limits: Limits | None = None,
    root: str | Path | None = None,
) -> Backend:
    """The backend that makes boxes here.

    Args:
        kind: One of `KINDS`; `AUTO` is Docker where an engine answers, and bubblewrap elsewhere.
        limits: Of each box; None for the defaults.
        root: What boxes start from: a folder or a tar file of one; for Docker also the name of an
            image of the engine. None is the root of `root.build_root`, built now if it is missing.

    Raises:
        SandboxError: If no such boxes can be had, with what mends it.
    """
    if kind not in KINDS:
        *first, last = KINDS
        raise SandboxError(f"sandbox: must be {', '.join(first)} or {last}, got {kind!r}")
    if kind == AUTO:
        *first, last = BACKENDS
        kind = next((name for name in first if BACKENDS[name].missing() is None), last)
    return BACKENDS[kind].open(limits or Limits(), root)


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
