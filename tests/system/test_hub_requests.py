"""What a Hub may answer: the token goes to no other host, no name leaves the cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants
from starlette.responses import JSONResponse, Response

from mergekit_cycleqd.hub.client import Hub as Client
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.remote_files import Target
from mergekit_cycleqd.system import hub_requests
from tests.support.elsewhere import elsewhere
from tests.support.hub import server
from tests.support.hub.server import Hub

hub, repo = server.hub, server.repo
pytestmark = pytest.mark.costly


def answering(hub: Hub, part: str, answer: Callable[[Response], Response]) -> None:
    """Let the Hub answer otherwise where a path has a part."""
    honest = hub.route

    def route(method: str, path: str, request: Any) -> Response:
        own = honest(method, path, request)
        return answer(own) if part in path else own

    hub.route = route  # type: ignore[method-assign]


def test_a_next_page_elsewhere_gets_no_token(hub: Hub, repo: str) -> None:
    with elsewhere() as (port, asked):
        link = {"Link": f'<http://127.0.0.1:{port}/api/next>; rel="next"'}
        answering(hub, "/tree/", lambda own: JSONResponse([], headers=link))
        Client().state(Target(repo, "model"))
    assert len(asked) == 1 and "authorization" not in asked[0]
    assert all(call.authorization == f"Bearer {hub.writer}" for call in hub.log[-2:])


@pytest.mark.parametrize("header", ["etag", "x-linked-etag"])
def test_a_file_is_not_kept_outside_of_the_cache(
    hub: Hub, repo: str, tmp_path: Path, header: str
) -> None:
    hub.commit(repo, {"a.txt": b"evil"})

    def upwards(own: Response) -> Response:
        own.headers[header] = '"../../../../evil"'
        return own

    answering(hub, "/resolve/", upwards)
    with pytest.raises(HubError, match=r"names a file of the cache '.*/evil"):
        Client().read(Target(repo, "model"), "a.txt", "main")
    assert not list(tmp_path.rglob("evil*"))


def test_an_answer_is_read_up_to_a_size(
    hub: Hub, repo: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    Client().state(Target(repo, "model"))
    monkeypatch.setattr(hub_requests, "MOST_BYTES", 100)
    with pytest.raises(HubError, match="its answer has more than 100 bytes"):
        Client().state(Target(repo, "model"))


@pytest.mark.parametrize("content", [None, 5, [5], {"siblings": 5, "lastModified": 7}])
def test_an_answer_that_is_none_of_a_hub_is_one_line(hub: Hub, repo: str, content: Any) -> None:
    answering(hub, "/revision/", lambda own: JSONResponse(content))
    with pytest.raises(HubError, match="answers otherwise than a Hub"):
        Client().state(Target(repo, "model"))


@pytest.mark.parametrize(
    ("address", "own"),
    [
        ("https://huggingface.co/api/x", True),
        ("https://datasets-server.huggingface.co/info", True),
        ("http://huggingface.co/api/x", False),
        ("https://huggingface.co:8443/api/x", False),
        ("https://evilhuggingface.co/", False),
        ("https://huggingface.co.evil.org/", False),
        ("https://huggingface.co@evil.org/", False),
    ],
)
def test_which_addresses_are_the_hubs(
    monkeypatch: pytest.MonkeyPatch, address: str, own: bool
) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", "https://huggingface.co")
    assert hub_requests._is_hub(address) is own
