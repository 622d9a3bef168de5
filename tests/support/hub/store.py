"""What the local Hub of the tests keeps: users, repos, commits, tags and files by their content.

Commits, trees and files carry the hashes git gives them, so that the same content has the same
name here and on the Hub.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Any

from tests.support.hub.xet import Xet, XetFile

KINDS = ("model", "dataset", "space")
SHORTEST_HASH = 7


class HubAnswer(Exception):
    """An error answer: status, the Hub's message and code, further headers and keys of the body."""

    def __init__(
        self,
        status: int,
        message: str,
        code: str | None = None,
        headers: Mapping[str, str] | None = None,
        **body: Any,
    ) -> None:
        super().__init__(message)
        self.status, self.body = status, {"error": message, **body}
        self.headers = {"X-Error-Message": message, **(headers or {})}
        if code is not None:
            self.headers["X-Error-Code"] = code


def git_hash(kind: str, content: bytes) -> str:
    return hashlib.sha1(b"%s %d\0%s" % (kind.encode(), len(content), content)).hexdigest()


def now() -> str:
    return datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.000Z")


@dataclass(frozen=True)
class File:
    """One file of a tree; with a sha256 it is an LFS file, whose blob is the pointer to it."""

    blob: str
    size: int
    sha256: str | None = None
    pointer_size: int = 0

    def lfs(self, name: str) -> dict[str, Any]:
        return {name: self.sha256, "size": self.size, "pointerSize": self.pointer_size}


def tree_hash(files: Mapping[str, File], folder: str = "") -> str:
    """Hash the tree of a folder ("" or "a/b/") as git does, with its folders below."""
    entries: dict[bytes, tuple[str, str]] = {}
    for path, file in files.items():
        if not path.startswith(folder):
            continue
        name, slash, _ = path[len(folder) :].partition("/")
        # Git sorts folders as though their names ended in a slash.
        key = f"{name}{slash}".encode()
        if key not in entries:
            below = tree_hash(files, f"{folder}{name}/") if slash else file.blob
            entries[key] = ("40000" if slash else "100644", below)
    content = b"".join(
        f"{mode} ".encode() + key.rstrip(b"/") + b"\0" + bytes.fromhex(oid)
        for key, (mode, oid) in sorted(entries.items())
    )
    return git_hash("tree", content)


@dataclass(frozen=True)
class Commit:
    oid: str
    parent: str | None
    files: Mapping[str, File]
    title: str
    message: str
    author: str
    date: str


@dataclass(frozen=True)
class User:
    name: str
    orgs: tuple[str, ...] = ()

    @property
    def namespaces(self) -> tuple[str, ...]:
        return (self.name, *self.orgs)


@dataclass(frozen=True)
class Token:
    user: User
    write: bool


@dataclass
class Repo:
    kind: str
    id: str
    private: bool = False
    gated: str | bool = False
    readers: set[str] = field(default_factory=set)  # users a gated repo was opened to
    commits: dict[str, Commit] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    created: str = field(default_factory=now)

    @property
    def namespace(self) -> str:
        return self.id.split("/")[0]

    def find(self, revision: str) -> Commit:
        oid = self.branches.get(revision) or self.tags.get(revision)
        if oid is None and len(revision) >= SHORTEST_HASH:
            oid = next((name for name in self.commits if name.startswith(revision)), None)
        if oid is None:
            raise HubAnswer(404, f"Invalid rev id: {revision}", "RevisionNotFound")
        return self.commits[oid]

    def history(self, commit: Commit) -> Iterator[Commit]:
        oid: str | None = commit.oid
        while oid is not None:
            yield self.commits[oid]
            oid = self.commits[oid].parent

    def add_commit(
        self, branch: str, files: Mapping[str, File], title: str, message: str, author: str
    ) -> Commit:
        parent = self.branches.get(branch)
        date = now()
        lines = [f"tree {tree_hash(files)}", *([f"parent {parent}"] if parent else [])]
        # The number of commits keeps two equal commits in one second apart.
        lines += [f"author {author} {date} {len(self.commits)}", "", title, "", message]
        oid = git_hash("commit", "\n".join(lines).encode())
        commit = Commit(oid, parent, dict(files), title, message, author, date)
        self.commits[oid] = commit
        self.branches[branch] = oid
        return commit


class Store:
    """Everything the server knows; blobs by git hash, LFS objects by sha256."""

    def __init__(self) -> None:
        self.tokens: dict[str, Token] = {}
        self.repos: dict[tuple[str, str], Repo] = {}
        self.blobs: dict[str, bytes] = {}
        self.objects: dict[str, bytes] = {}
        self.xet: Xet | None = None  # where it is given, LFS objects are moved by it
        self.tickets: dict[str, dict[str, Any]] = {}  # LFS uploads that were offered
        self.collections: dict[str, dict[str, Any]] = {}

    @contextmanager
    def undone(self) -> Iterator[None]:
        """Take back everything that happens inside."""
        saved = copy.deepcopy(vars(self))
        try:
            yield
        finally:
            vars(self).update(saved)

    def add_blob(self, content: bytes) -> File:
        blob = git_hash("blob", content)
        self.blobs[blob] = content
        return File(blob, len(content))

    def add_pointer(self, sha256: str, size: int) -> File:
        spec = "https://git-lfs.github.com/spec/v1"
        pointer = f"version {spec}\noid sha256:{sha256}\nsize {size}\n".encode()
        return File(self.add_blob(pointer).blob, size, sha256, len(pointer))

    def read(self, file: File) -> bytes:
        return self.blobs[file.blob] if file.sha256 is None else self.objects[file.sha256]

    def has_object(self, sha256: str) -> bool:
        if self.xet is not None and sha256 not in self.objects:
            content = self.xet.take_over(sha256)
            if content is not None:
                self.objects[sha256] = content
        return sha256 in self.objects

    def xet_file(self, file: File) -> XetFile | None:
        return None if self.xet is None else self.xet.files.get(file.sha256 or "")

    def user(self, token: str | None) -> User | None:
        if token is None:
            return None
        if token not in self.tokens:
            message = "Invalid credentials in Authorization header"
            raise HubAnswer(401, message)
        return self.tokens[token].user

    def readable(self, kind: str, repo_id: str, token: str | None) -> Repo:
        """Find a repo that the bearer may know of; a private one of others is "not found"."""
        user = self.user(token)
        repo = self.repos.get((kind, repo_id))
        if repo is None or (
            repo.private and (user is None or repo.namespace not in user.namespaces)
        ):
            if user is None:
                raise HubAnswer(401, "Invalid username or password.", "RepoNotFound")
            raise HubAnswer(404, "Repository not found", "RepoNotFound")
        return repo

    def open(self, kind: str, repo_id: str, token: str | None) -> Repo:
        """Find a repo whose files the bearer may read."""
        repo = self.readable(kind, repo_id, token)
        user = self.user(token)
        names = {repo.namespace, *repo.readers}
        if repo.gated and (user is None or not names.intersection(user.namespaces)):
            message = (
                f"Access to {kind} {repo_id} is restricted and you are not in the authorized list."
            )
            raise HubAnswer(401 if user is None else 403, message, "GatedRepo")
        return repo

    def writable(self, kind: str, repo_id: str, token: str | None) -> Repo:
        repo = self.readable(kind, repo_id, token)
        self.check_write(repo.namespace, token, f"write to the {kind} {repo_id}")
        return repo

    def check_write(self, namespace: str, token: str | None, deed: str) -> User:
        user = self.user(token)
        if token is None or user is None:
            raise HubAnswer(401, "Invalid username or password.")
        if not self.tokens[token].write:
            raise HubAnswer(403, f"Forbidden: you must use a write token to {deed}.")
        if namespace not in user.namespaces:
            raise HubAnswer(403, f"You don't have the rights to {deed}.")
        return user


def named(files: Iterable[str], folder: str) -> Iterator[str]:
    """Yield the folders below a folder ("" or "a/b/") that hold files at any depth."""
    seen = set()
    for path in files:
        parts = path.split("/")[:-1]
        for depth in range(1, len(parts) + 1):
            name = "/".join(parts[:depth])
            if name.startswith(folder) and name + "/" != folder and name not in seen:
                seen.add(name)
                yield name
