"""Tasks in boxes: one backend for all tasks that ask for the same, opened when first needed."""

from __future__ import annotations

import atexit
import threading
from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from mergekit_cycleqd.sandbox.base import Backend, Limits, SandboxError
from mergekit_cycleqd.sandbox.open import open_backend
from mergekit_cycleqd.tasks.episode_task import EpisodeTask
from mergekit_cycleqd.tasks.options import EpisodeOptions

Kind = Literal["auto", "docker", "bubblewrap"]

_lock = threading.Lock()
_backends: dict[tuple[Kind, Limits, str | None], Backend] = {}


def check_boxes(kind: Kind) -> None:
    """See that boxes of this kind can be had here, before any model is loaded.

    Raises:
        SandboxError: If not, with what is missing and how to mend it.
    """
    from mergekit_cycleqd.sandbox import bubblewrap, docker

    found = {"docker": docker.docker_fault, "bubblewrap": bubblewrap.bubblewrap_fault}
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


class BoxOptions(EpisodeOptions):
    """The options of every task whose episodes are in boxes.

    Attributes:
        backend: What makes the boxes; "auto" is docker where an engine answers, else bubblewrap.
        image: What boxes start from instead of our Debian: a folder, a tar file of one, or the name
            of a Docker image.
    """

    backend: Kind = "auto"
    image: str | None = None


class BoxTask(EpisodeTask):
    """A task whose episodes are in boxes, with these limits."""

    options: BoxOptions
    limits: ClassVar[Limits] = Limits()

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Read options and problems, and see that there are boxes.

        Raises:
            CycleQDError: If anything of these is wrong or missing.
        """
        super().__init__(config)
        check_boxes(self.options.backend)

    def backend(self) -> Backend:
        """What gives the boxes."""
        return shared_backend(self.options.backend, self.limits, self.options.image)
