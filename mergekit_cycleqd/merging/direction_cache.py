"""The cache of singular directions on disk, keyed by the content of the task vector."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mergekit_cycleqd.merging.directions import SingularDirections, directions
from mergekit_cycleqd.merging.float64 import placed
from mergekit_cycleqd.system.cache_folder import cache_folder

_VERSION = 2


_ABANDONED_SECONDS = 3600.0


def _store(path: Path, found: SingularDirections) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as partial:
        pass
    try:
        save_file({"vectors": found.vectors.cpu(), "values": found.values}, partial.name)
        os.replace(partial.name, path)
    except BaseException:
        Path(partial.name).unlink(missing_ok=True)
        raise


class DirectionCache:
    """Singular directions on disk: one safetensors file per task vector, named by its content.

    Several processes may share a folder, since a file appears whole or not at all. Nothing has to
    be locked or expired, since a name never stands for two task vectors.
    """

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is created when the first file is stored."""
        self.folder = folder

    @classmethod
    def default(cls) -> DirectionCache:
        """Open the user's cache."""
        return cls(cache_folder() / "factors")

    def path(self, tau: Tensor) -> Path:
        """Compute the file of a task vector, whether it exists or not."""
        content = tau.float().contiguous().cpu().numpy()
        digest = hashlib.sha256(f"{_VERSION} {tuple(tau.shape)} ".encode())
        digest.update(content.tobytes())
        key = digest.hexdigest()[:40]
        return self.folder / key[:2] / f"{key}.safetensors"

    def directions(
        self, tau: Tensor, *, store: bool = True, path: Path | None = None
    ) -> SingularDirections:
        """Load the singular directions of a task vector, or compute them.

        Args:
            tau: The task vector, a finite (m, n) matrix.
            store: Whether to store directions that had to be computed.
            path: The result of `path`, if it is known. Computing it reads all of `tau`.

        Returns:
            The directions, with vectors on the device of `tau`.
        """
        path = path or self.path(tau)
        try:
            stored = load_file(path)
            vectors = placed(stored["vectors"], tau.device)
            known = SingularDirections(vectors, stored["values"])
            if known.vectors.dtype == torch.float64 or not known.close:
                return known
        except (OSError, SafetensorError):
            pass
        found = directions(tau)
        if store:
            with suppress(
                OSError, SafetensorError
            ):  # a full disk costs time, but no evaluation fails
                _store(path, found)
        return found

    def prune(self, needed: Set[Path]) -> int:
        """Remove all files but the needed ones, and partial files that were abandoned.

        A partial file counts as abandoned after an hour, so that no process loses a file that it
        is still writing.

        Returns:
            Bytes that were freed.
        """
        freed = 0
        for file in self.folder.glob("??/*"):
            stat = file.stat()
            abandoned = time.time() - stat.st_mtime > _ABANDONED_SECONDS
            if file not in needed and (file.suffix == ".safetensors" or abandoned):
                file.unlink()
                freed += stat.st_size
        return freed


def known_directions(tau: Tensor) -> SingularDirections:
    """Load the singular directions of a task vector from the user's cache, or compute them.

    Computed directions are not stored.
    """
    return DirectionCache.default().directions(tau, store=False)
