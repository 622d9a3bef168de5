"""A real Hugging Face Hub on this machine: repos, commits, LFS, collections, and faults to order.

The real huggingface_hub client, transformers and subprocesses work with it over HTTP on
127.0.0.1. It keeps everything in memory; what was committed reads back byte for byte. A test
module takes the fixture by `hub = server.hub`; large files move by LFS, or by Xet with
`@pytest.mark.parametrize("hub", ["xet"], indirect=True)`.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

import pytest
import uvicorn
from huggingface_hub import CommitOperationAdd, HfApi
from huggingface_hub.utils import close_session
from starlette.requests import Request as Received
from starlette.responses import JSONResponse, Response

from tests.support.costly import costly, takes
from tests.support.hub import cards, collections, repos, transfer, xet
from tests.support.hub.client import point_at
from tests.support.hub.faults import Call, Droppable, Fault, Faulty, Message, Receive, Send
from tests.support.hub.repos import Request
from tests.support.hub.store import HubAnswer, Repo, Store, Token, User
from tests.support.hub.xet import Xet

START_SECONDS = 20.0
API = r"/api/(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+/[^/]+)"
REPO = r"/(?:(?P<kind>dataset|space)s/)?(?P<repo_id>[^/]+(?:/[^/]+)?)"
COLLECTION = r"/api/collections/(?P<slug>[^/]+/[^/]+)"
TICKET = r"/lfs-upload/(?P<ticket>[^/]+)"

ROUTES: list[tuple[str, str, Callable[..., Response]]] = [
    ("GET", r"/api/whoami-v2", repos.whoami),
    ("POST", r"/api/repos/create", repos.create),
    ("DELETE", r"/api/repos/delete", repos.delete),
    ("POST", r"/api/validate-yaml", cards.validate),
    ("GET", r"/api/collections", collections.list_all),
    ("POST", r"/api/collections", collections.create),
    ("GET", COLLECTION, collections.get),
    ("PATCH", COLLECTION, collections.update),
    ("DELETE", COLLECTION, collections.delete),
    ("POST", COLLECTION + r"/items", collections.add_item),
    ("PATCH", COLLECTION + r"/items/(?P<item_id>[^/]+)", collections.update_item),
    ("DELETE", COLLECTION + r"/items/(?P<item_id>[^/]+)", collections.delete_item),
    ("GET", API, repos.info),
    ("GET", r"/api/(?P<kind>model|dataset|space)s/(?P<repo_id>[^/]+)", repos.info),
    ("PUT", API + r"/settings", repos.settings),
    ("GET", API + r"/auth-check(?P<write>/write)?", repos.auth_check),
    ("GET", API + r"/revision/(?P<revision>[^/]+)", repos.info),
    ("GET", API + r"/tree/(?P<revision>[^/]+)(?:/(?P<path>.+))?", repos.tree),
    ("POST", API + r"/paths-info/(?P<revision>[^/]+)", repos.paths_info),
    ("GET", API + r"/refs", repos.refs),
    ("GET", API + r"/commits/(?P<revision>[^/]+)", repos.commits),
    ("POST", API + r"/branch/(?P<branch>[^/]+)", repos.create_branch),
    ("DELETE", API + r"/branch/(?P<branch>[^/]+)", repos.delete_branch),
    ("POST", API + r"/tag/(?P<revision>[^/]+)", repos.create_tag),
    ("DELETE", API + r"/tag/(?P<revision>[^/]+)", repos.delete_tag),
    ("POST", API + r"/preupload/(?P<revision>[^/]+)", transfer.preupload),
    ("POST", API + r"/commit/(?P<revision>[^/]+)", transfer.commit),
    ("POST", REPO + r"\.git/info/lfs/objects/batch", transfer.lfs_batch),
    ("POST", REPO + r"\.git/info/lfs/objects/verify", transfer.lfs_verify),
    ("GET", API + r"/xet-write-token/(?P<revision>[^/]+)", xet.write_token),
    ("GET", API + r"/xet-read-token/(?P<revision>[^/]+)", xet.read_token),
    ("PUT", TICKET, transfer.lfs_put),
    ("PUT", TICKET + r"/(?P<number>\d+)", transfer.lfs_put_part),
    ("POST", TICKET, transfer.lfs_complete),
    ("GET", REPO + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)", transfer.resolve),
    ("HEAD", REPO + r"/resolve/(?P<revision>[^/]+)/(?P<path>.+)", transfer.resolve),
]


class Hub:
    """The running server, as a test sees it.

    `faults` is a list of `Fault` to append to, `log` every request so far. `writer`, `reader` and
    `other` are tokens: the first two of the user "me", who is in the organization "lab"; the
    third of the user "other".
    """

    def __init__(self) -> None:
        self.store = Store()
        self.faults: list[Fault] = []
        self.log: list[Call] = []
        self.crashes: list[Exception] = []
        self.endpoint = ""
        self.part_size = 64 << 20  # LFS objects above this many bytes are uploaded in parts
        self.writer = self.add_token("hf_writer_of_me", "me", orgs=("lab",))
        self.reader = self.add_token("hf_reader_of_me", "me", orgs=("lab",), write=False)
        self.other = self.add_token("hf_writer_of_other", "other")

    def add_token(
        self, token: str, name: str, *, orgs: tuple[str, ...] = (), write: bool = True
    ) -> str:
        self.store.tokens[token] = Token(User(name, orgs), write)
        return token

    def api(self, token: str | bool | None = None) -> HfApi:
        """Give a client: of "me" who may write, or with a token, or (False) without one."""
        return HfApi(endpoint=self.endpoint, token=self.writer if token is None else token)

    def repo(self, repo_id: str, kind: str = "model") -> Repo:
        return self.store.repos[kind, repo_id]

    def content(
        self, repo_id: str, kind: str = "model", revision: str = "main"
    ) -> dict[str, bytes]:
        """Read every file of a repo at a revision from the store itself."""
        files = self.repo(repo_id, kind).find(revision).files
        return {path: self.store.read(file) for path, file in files.items()}

    def commit(self, repo_id: str, files: Mapping[str, bytes], message: str = "add") -> str:
        """Commit files through the real client as "me"; give the hash of the commit."""
        operations = [CommitOperationAdd(path, content) for path, content in files.items()]
        made = self.api().create_commit(repo_id, operations, commit_message=message)
        return str(made.oid)

    def calls(self, method: str, path: str) -> list[Call]:
        """List the requests so far of a method ("*": any) whose path matches."""
        return [c for c in self.log if method in ("*", c.method) and re.search(path, c.path)]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        received = Received(scope, receive)
        body = await received.body()
        headers = received.headers
        scheme, _, token = headers.get("authorization", "").partition(" ")
        request = Request(
            self.endpoint,
            parse_qs(scope["query_string"].decode()),
            token if scheme.lower() == "bearer" else None,
            body,
            headers.get("range"),
            self.part_size,
        )
        try:
            answer = self.route(scope["method"], scope["raw_path"].decode(), request)
        except HubAnswer as error:
            answer = JSONResponse(error.body, error.status, error.headers)
        except Exception as error:
            self.crashes.append(error)
            answer = JSONResponse({"error": "The local Hub of the tests is broken"}, 501)
        await answer(scope, receive, send)

    def route(self, method: str, path: str, request: Request) -> Response:
        """Match the path before unquoting: a branch "a/b" arrives as "a%2Fb"."""
        for verb, pattern, handler in ROUTES:
            match = re.fullmatch(pattern, path)
            if match is not None and verb == method:
                found: dict[str, Any] = {
                    name: unquote(value)
                    for name, value in match.groupdict().items()
                    if value is not None
                }
                if "kind" in match.groupdict():
                    found.setdefault("kind", "model")
                return handler(self.store, request, **found)
        raise HubAnswer(404, f"This server has no route {method} {path}")


class ServerThread:
    """Runs the server in a thread of its own until it is closed."""

    def __init__(self, hub: Hub) -> None:
        takes("a server")
        config = uvicorn.Config(
            Faulty(hub, hub),
            host="127.0.0.1",
            port=0,
            http=Droppable,
            ws="none",
            lifespan="off",
            log_level="critical",
            access_log=False,
            timeout_graceful_shutdown=1,
        )
        self.server = uvicorn.Server(config)
        self.socket = config.bind_socket()
        self.socket.listen()  # whoever connects before the thread is ready waits
        hub.endpoint = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.thread = threading.Thread(target=self.server.run, args=([self.socket],), daemon=True)
        self.thread.start()

    def close(self) -> None:
        self.server.should_exit = True
        self.thread.join(START_SECONDS)
        self.socket.close()
        assert not self.thread.is_alive(), "the local Hub did not stop"


@pytest.fixture
@costly
def hub(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Hub]:
    """Start a Hub, and point this process and its children at it as the user "me"."""
    xet = getattr(request, "param", "lfs") == "xet"
    hub = Hub()
    if xet:
        hub.store.xet = Xet(tmp_path / "xet")
    thread = ServerThread(hub)
    point_at(monkeypatch, hub.endpoint, tmp_path / "hf_home", hub.writer, xet=xet)
    yield hub
    close_session()
    thread.close()
    for crash in hub.crashes:
        raise crash


@pytest.fixture
def repo(hub: Hub) -> str:
    hub.api().create_repo("me/x")
    return "me/x"
