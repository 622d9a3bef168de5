"""The boxes of a run: one backend for all tasks that ask for the same, opened when first needed."""

from __future__ import annotations

import atexit
import threading
from typing import Literal

from mergekit_cycleqd.sandbox import Backend, Limits, SandboxError, open_backend

Kind = Literal["auto", "docker", "bubblewrap"]

_lock = threading.Lock()
_backends: dict[tuple[Kind, Limits, str | None], Backend] = {}


def check_boxes(kind: Kind) -> None:
    """See that boxes of this kind can be had here, before any model is loaded.

    Raises:
        SandboxError: If not, with what is missing and how to mend it.
    """
    from mergekit_cycleqd.sandbox import bubblewrap, docker

    found = {"docker": docker.missing, "bubblewrap": bubblewrap.missing}
    lacking = [found[name]() for name in (found if kind == "auto" else (kind,))]
    if all(lacking):
        raise SandboxError("; or: ".join(reason for reason in lacking if reason))


def shared_backend(kind: Kind, limits: Limits, image: str | None) -> Backend:
    """The backend for these settings, as of `open_backend`; closed when the process ends.

    Raises:
        SandboxError: If boxes cannot be had here.
    """
    with _lock:
        backend = _backends.get((kind, limits, image))
        if backend is None:
            backend = _backends[kind, limits, image] = open_backend(kind, limits, image)
            atexit.register(backend.close)
        return backend
