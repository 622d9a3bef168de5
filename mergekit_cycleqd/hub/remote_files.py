"""The files of a repo on the Hub, and their comparison with local content by hash."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mergekit_cycleqd.system import units

_CHUNK = 1 << 20
Content = bytes | Path


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repo, as the Hub lists it.

    Attributes:
        size: Bytes.
        blob: Git's id of the file in the repo.
        sha256: Hash of content that is stored by LFS; None for other files.
    """

    size: int
    blob: str
    sha256: str | None

    def holds(self, content: Content) -> bool:
        """Whether the file has this content."""
        if size_of(content) != self.size:
            return False
        if self.sha256 is not None:
            return content_hash(content, "sha256") == self.sha256
        return git_blob(content) == self.blob

    def matches(self, described: Mapping[str, Any]) -> bool:
        """Whether the file has the content that an entry of lineage.json describes."""
        if self.sha256 is not None:
            return bool(self.sha256 == described.get("sha256"))
        return bool(self.blob == described.get("blob"))


@dataclass(frozen=True)
class RepoState:
    """What a branch of a repo holds.

    Attributes:
        exists: Whether the repo exists.
        branched: Whether the branch exists; if not, `head` and `files` are those of `main`.
        head: The newest commit; None if there is none.
        files: The files, by path.
    """

    exists: bool
    branched: bool
    head: str | None
    files: Mapping[str, RemoteFile]


def size_fault(state: RepoState, path: str, most: int) -> str | None:
    """Say that a file of a stranger is too large to be read at once; None if it is not.

    Args:
        state: What the repo holds.
        path: The file's path in it.
        most: The most bytes that such a file has.
    """
    there = state.files[path].size
    if there <= most:
        return None
    return f"{path!r} must have at most {units.size(most)}, got {units.size(there)}"


@dataclass(frozen=True)
class Target:
    """A repo and its branch to publish to.

    Attributes:
        repo_id: Id of the repo.
        repo_type: ``model``, ``dataset`` or ``space``.
        branch: The branch.
    """

    repo_id: str
    repo_type: Literal["model", "dataset", "space"]
    branch: str = "main"


def is_done(state: RepoState, add: Mapping[str, Content], delete: Sequence[str]) -> bool:
    """Whether a repo already has the content that a commit would give it."""
    return all(
        path in state.files and state.files[path].holds(content) for path, content in add.items()
    ) and not any(path in state.files for path in delete)


def needed_changes(
    state: RepoState, files: Mapping[str, Content], stale: Iterable[str]
) -> tuple[dict[str, Content], list[str]]:
    """Work out what a commit must change.

    Args:
        state: What the repo holds.
        files: What it should hold, by path.
        stale: Paths that it should no longer hold.

    Returns:
        Content to add, by path, and paths to delete.
    """
    add = {
        path: content
        for path, content in files.items()
        if path not in state.files or not state.files[path].holds(content)
    }
    return add, sorted(path for path in stale if path in state.files)


def content_hash(content: Content, kind: str, header: bytes = b"") -> str:
    """Hash bytes, or a file, which is read in blocks.

    Args:
        content: The bytes or the file's path.
        kind: Name of the hash, such as ``sha256``.
        header: Bytes that are hashed before the content.
    """
    state = hashlib.new(kind, header, usedforsecurity=False)
    if isinstance(content, bytes):
        state.update(content)
        return state.hexdigest()
    with content.open("rb") as stream:
        while block := stream.read(_CHUNK):
            state.update(block)
    return state.hexdigest()


def git_blob(content: Content) -> str:
    """Compute the id that git gives to content."""
    return content_hash(content, "sha1", f"blob {size_of(content)}\0".encode())


def size_of(content: Content) -> int:
    """Size of content, in bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size
