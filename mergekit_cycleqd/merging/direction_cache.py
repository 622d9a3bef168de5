"""Singular directions on disk, named by the content of their task vector."""

from __future__ import annotations

import hashlib
import os
import tempfile
import time
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from mergekit_cycleqd.merging.directions import SingularDirections, directions

_VERSION = 2


_ABANDONED_SECONDS = 3600.0


def _store(path: Path, basis: SingularDirections) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as partial:
        pass
    try:
        save_file({"vectors": basis.vectors.cpu(), "values": basis.values}, partial.name)
        os.replace(partial.name, path)
    except BaseException:
        Path(partial.name).unlink(missing_ok=True)
        raise


class DirectionCache:
    """Bases on disk, one safetensors file each, named by the content of the task vector.

    Files appear whole or not at all, so that processes may share a folder, and a key never means
    two things, so that nothing has to be locked or expired.
    """

    def __init__(self, folder: Path) -> None:
        """Use `folder`, which is created when the first basis is stored."""
        self.folder = folder

    @classmethod
    def default(cls) -> DirectionCache:
        """The user's cache: ``$MERGEKIT_CYCLEQD_CACHE``, or the XDG cache folder."""
        named = os.environ.get("MERGEKIT_CYCLEQD_CACHE")
        if named:
            return cls(Path(named) / "factors")
        root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        return cls(Path(root) / "mergekit-cycleqd" / "factors")

    def path(self, tau: Tensor) -> Path:
        """Where the basis of a task vector lies, or would lie."""
        content = tau.float().contiguous().cpu().numpy()
        digest = hashlib.sha256(f"{_VERSION} {tuple(tau.shape)} ".encode())
        digest.update(content.tobytes())
        key = digest.hexdigest()[:40]
        return self.folder / key[:2] / f"{key}.safetensors"

    def directions(
        self, tau: Tensor, *, store: bool = True, path: Path | None = None
    ) -> SingularDirections:
        """`directions` of `tau`, from the cache where it is there.

        Args:
            tau: (m, n) matrix, finite.
            store: Whether to keep what had to be computed.
            path: What `path` gives, where it is known already, which reads all of `tau`.

        Returns:
            The basis, with vectors on the device of `tau`.
        """
        path = path or self.path(tau)
        try:
            stored = load_file(path)
            return SingularDirections(stored["vectors"].to(tau.device), stored["values"])
        except (OSError, SafetensorError):
            basis = directions(tau)
        if store:
            with suppress(OSError, SafetensorError):  # a full disk costs time, and no evaluation
                _store(path, basis)
        return basis

    def prune(self, needed: Set[Path]) -> int:
        """Remove every basis but the needed ones, and partial files that nobody writes any more.

        A partial file counts as left over after an hour, so that none is taken from a process
        that is still writing it.

        Returns:
            Bytes freed.
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
    """`directions` of `tau` for one use: from the user's cache where it is there, never stored."""
    return DirectionCache.default().directions(tau, store=False)
