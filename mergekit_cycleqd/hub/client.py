"""A client of the Hub for publishing: read a repo, make one commit, a tag, a collection."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi
from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
from huggingface_hub.errors import RevisionNotFoundError as NoRevision
from huggingface_hub.hf_api import RepoFile

from mergekit_cycleqd.hub.errors import HubError, is_from_the_hub, is_passing, one_line, retry_after
from mergekit_cycleqd.hub.remote_files import Content, RemoteFile, RepoState, Target, is_done
from mergekit_cycleqd.system.hub_requests import guard_requests

ATTEMPTS = 6
FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 120.0
# hf_xet also retries by itself: without these settings, for about four minutes each time.
_XET_RETRIES = {
    "HF_XET_CLIENT_RETRY_MAX_ATTEMPTS": "2",
    "HF_XET_CLIENT_RETRY_BASE_DELAY": "1s",
}
T = TypeVar("T")


@dataclass(frozen=True)
class Account:
    """The account that a token belongs to.

    Attributes:
        name: Name of the user.
        namespaces: Owners that the user may publish under: the user and its organisations.
        writes: Whether the token may write.
    """

    name: str
    namespaces: tuple[str, ...]
    writes: bool


class Hub:
    """A client that retries passing errors (429, 5xx, no answer), and reports others in a line.

    Attributes:
        api: The client of huggingface_hub.
    """

    def __init__(self, attempts: int | None = None, *, without_repos: str | None = None) -> None:
        """Use the Hub and the token that huggingface_hub is configured with.

        Args:
            attempts: Number of attempts at a passing error; None for `ATTEMPTS`.
            without_repos: An owner whose repos are all taken for new ones, unasked: a name that
                stands for another.
        """
        guard_requests()
        self.api = HfApi()
        self._without_repos = without_repos
        self._attempts = attempts or ATTEMPTS
        for name, value in _XET_RETRIES.items():  # read when a transfer starts
            os.environ.setdefault(name, value)

    def call(self, about: str, action: Callable[[], T]) -> T:
        """Call the Hub. Passing errors are retried with exponential backoff.

        Args:
            about: The repo or collection that the call is about, for the error's text.
            action: The call; must be safe to repeat.

        Raises:
            HubError: If the last attempt failed, or the error does not pass.
        """
        wait = FIRST_WAIT_SECONDS
        for attempt in range(1, self._attempts + 1):
            try:
                return action()
            except Exception as error:
                if not is_from_the_hub(error) or isinstance(error, HubError):
                    raise
                asked = retry_after(error) or 0.0
                last = attempt == self._attempts or max(wait, asked) > LONGEST_WAIT_SECONDS
                if last or not is_passing(error):
                    raise HubError(one_line(error, about)) from error
                time.sleep(max(wait, asked))
                wait *= 2
        raise AssertionError("the last attempt returns or raises")

    def account(self) -> Account:
        """Ask the Hub for the account of the token.

        Raises:
            HubError: If there is no token, or the Hub does not know it.
        """
        told = self.call("your account", self.api.whoami)
        role = told.get("auth", {}).get("accessToken", {}).get("role", "write")
        organisations = [org["name"] for org in told.get("orgs", ())]
        return Account(told["name"], (told["name"], *organisations), writes=role != "read")

    def state(self, target: Target) -> RepoState:
        """Read what a branch of a repo holds now. If there is no such branch, `main` is read.

        Raises:
            HubError: If the Hub does not say.
        """
        if target.repo_id.partition("/")[0] == self._without_repos:
            return RepoState(False, False, None, {})
        return self.call(target.repo_id, lambda: self._state(target))

    def _state(self, target: Target) -> RepoState:
        name, kind = target.repo_id, target.repo_type
        branched = True
        try:
            head = self.api.repo_info(name, repo_type=kind, revision=target.branch).sha
        except NoRevision:
            branched = False
            head = self.api.repo_info(name, repo_type=kind).sha
        except RepositoryNotFoundError as error:
            if type(error) is not RepositoryNotFoundError:
                raise
            return RepoState(False, False, None, {})
        files = {}
        try:
            for entry in self.api.list_repo_tree(
                name, repo_type=kind, revision=head, recursive=True
            ):
                if isinstance(entry, RepoFile):
                    sha256 = entry.lfs.sha256 if entry.lfs else None
                    files[entry.path] = RemoteFile(entry.size, entry.blob_id, sha256)
        except (NoRevision, EntryNotFoundError):
            return RepoState(True, branched, None, {})
        return RepoState(True, branched, head, files)

    def read(self, target: Target, path: str, revision: str | None) -> bytes:
        """Read the content of one small file of a repo.

        Raises:
            HubError: If it cannot be downloaded.
        """

        def download() -> bytes:
            local = self.api.hf_hub_download(
                target.repo_id, path, repo_type=target.repo_type, revision=revision
            )
            return Path(local).read_bytes()

        return self.call(target.repo_id, download)

    def create(self, target: Target, state: RepoState, *, private: bool) -> RepoState:
        """Create the repo and its branch if they do not exist, and read what they hold.

        Raises:
            HubError: If the Hub refuses.
        """
        name, kind = target.repo_id, target.repo_type
        if not state.exists:
            self.call(
                name,
                lambda: self.api.create_repo(
                    name,
                    repo_type=kind,
                    private=private,
                    exist_ok=True,
                    space_sdk="static" if kind == "space" else None,
                ),
            )
        if not state.branched and target.branch != "main":
            self.call(
                name,
                lambda: self.api.create_branch(
                    name, branch=target.branch, repo_type=kind, exist_ok=True
                ),
            )
        return self.state(target)

    def commit(
        self,
        target: Target,
        start: RepoState,
        add: Mapping[str, Content],
        delete: Sequence[str],
        message: str,
    ) -> str:
        """Change a repo by one commit, or not at all.

        If the answer to a commit got lost, the repo is read before the commit is sent again.

        Args:
            target: The repo and its branch.
            start: The state that the changes were worked out from.
            add: New content, by path.
            delete: Paths to delete.
            message: Title of the commit.

        Returns:
            The commit's hash.

        Raises:
            HubError: If the repo changed after `start` was read, or the Hub refuses.
        """
        operations: list[CommitOperationAdd | CommitOperationDelete] = [
            *(CommitOperationAdd(path, _as_upload(content)) for path, content in add.items()),
            *(CommitOperationDelete(path, is_folder=False) for path in delete),
        ]
        failed = False

        def send() -> str:
            nonlocal failed
            if failed:
                now = self._state(target)
                if now.head != start.head and now.head and is_done(now, add, delete):
                    return now.head
            failed = True
            made = self.api.create_commit(
                target.repo_id,
                operations,
                commit_message=message,
                repo_type=target.repo_type,
                revision=target.branch,
                parent_commit=start.head,
            )
            return str(made.oid)

        return self.call(target.repo_id, send)

    def tag(self, target: Target, name: str, commit: str) -> bool:
        """Tag a commit, unless the repo has the tag already. Returns whether the tag is new.

        Raises:
            HubError: If the Hub refuses.
        """
        repo, kind = target.repo_id, target.repo_type
        refs = self.call(repo, lambda: self.api.list_repo_refs(repo, repo_type=kind))
        if any(ref.name == name for ref in refs.tags):
            return False
        self.call(
            repo,
            lambda: self.api.create_tag(
                repo, tag=name, revision=commit, repo_type=kind, exist_ok=True
            ),
        )
        return True

    def collect(
        self, title: str, namespace: str, items: Sequence[tuple[Target, str]], *, private: bool
    ) -> str:
        """Add repos to a collection, each with its note. Only missing or changed items are sent.

        Returns:
            The collection's slug.

        Raises:
            HubError: If the Hub refuses.
        """
        about = f"collection {title!r}"
        made = self.call(
            about,
            lambda: self.api.create_collection(
                title, namespace=namespace, private=private, exists_ok=True
            ),
        )
        slug = made.slug
        there = {(item.item_type, item.item_id): item for item in made.items}
        for target, note in items:
            item = there.get((target.repo_type, target.repo_id))
            if item is None:
                self.call(about, lambda t=target, n=note: self._collect(slug, t, n))  # type: ignore[misc]
            elif item.note != note:
                self.call(
                    about,
                    lambda i=item, n=note: self.api.update_collection_item(  # type: ignore[misc]
                        slug, i.item_object_id, note=n
                    ),
                )
        return str(slug)

    def _collect(self, slug: str, target: Target, note: str) -> None:
        self.api.add_collection_item(
            slug, target.repo_id, target.repo_type, note=note, exists_ok=True
        )


def _as_upload(content: Content) -> bytes | str:
    return content if isinstance(content, bytes) else str(content)
