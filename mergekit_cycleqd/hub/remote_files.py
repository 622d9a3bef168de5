"""What a repo of the Hub holds, and whether that is what we have."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

_CHUNK = 1 << 20
Content = bytes | Path


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repo as the Hub lists it: `sha256` of LFS content, else git's `blob` id."""

    size: int
    blob: str
    sha256: str | None

    def holds(self, content: Content) -> bool:
        """Whether its content is that of a local file, or of these bytes."""
        if size_of(content) != self.size:
            return False
        if self.sha256 is not None:
            return digest(content, "sha256") == self.sha256
        return git_blob(content) == self.blob

    def matches(self, described: Mapping[str, Any]) -> bool:
        """Whether its content is that of a file that lineage.json describes."""
        if self.sha256 is not None:
            return bool(self.sha256 == described.get("sha256"))
        return bool(self.blob == described.get("blob"))


@dataclass(frozen=True)
class RepoState:
    """What a branch of a repo holds.

    Attributes:
        exists: Whether there is such a repo.
        branched: Whether it has the branch; without it, the rest is that of `main`.
        head: The newest commit; None where there is none.
        files: By path.
    """

    exists: bool
    branched: bool
    head: str | None
    files: Mapping[str, RemoteFile]


@dataclass(frozen=True)
class Target:
    """Where a repo is published: its id, its type (``model`` or ``dataset``) and the branch."""

    repo_id: str
    repo_type: Literal["model", "dataset"]
    branch: str = "main"


def is_done(state: RepoState, add: Mapping[str, Content], delete: Sequence[str]) -> bool:
    """Whether a repo is already as a commit would make it."""
    return all(
        path in state.files and state.files[path].holds(content) for path, content in add.items()
    ) and not any(path in state.files for path in delete)


def changes(
    state: RepoState, files: Mapping[str, Content], stale: Iterable[str]
) -> tuple[dict[str, Content], list[str]]:
    """What of these files the repo does not hold, and what it should no longer hold."""
    add = {
        path: content
        for path, content in files.items()
        if path not in state.files or not state.files[path].holds(content)
    }
    return add, sorted(path for path in stale if path in state.files)


def digest(content: Content, kind: str, header: bytes = b"") -> str:
    """A hash of a file, read in blocks, or of bytes."""
    state = hashlib.new(kind, header, usedforsecurity=False)
    if isinstance(content, bytes):
        state.update(content)
        return state.hexdigest()
    with content.open("rb") as stream:
        while block := stream.read(_CHUNK):
            state.update(block)
    return state.hexdigest()


def git_blob(content: Content) -> str:
    """The id that git gives to a file's content."""
    return digest(content, "sha1", f"blob {size_of(content)}\0".encode())


def size_of(content: Content) -> int:
    """Bytes of a file, or of bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size
