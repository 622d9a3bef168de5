"""The faults of the local Hub do what they say."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit

import pytest
from huggingface_hub import model_info
from huggingface_hub.errors import HfHubHTTPError

from tests.support.hub import server
from tests.support.hub.client import httpx
from tests.support.hub.server import Fault, Hub

hub, repo = server.hub, server.repo

WEIGHTS = bytes(range(256)) * 200


def refused(error: pytest.ExceptionInfo[HfHubHTTPError]) -> tuple[int, str]:
    return error.value.response.status_code, str(error.value)


def test_a_commit_fails_as_often_as_asked_for_each_repo(hub: Hub, repo: str) -> None:
    hub.api().create_repo("me/y")
    hub.faults.append(Fault("POST", "/commit/", 500, nth=(1, 2), each_path=True))
    for repo_id in ("me/x", "me/y"):
        for _ in range(2):
            with pytest.raises(HfHubHTTPError) as error:
                hub.commit(repo_id, {"a.txt": b"a"})
            assert refused(error)[0] == 500
            assert "a.txt" not in hub.content(repo_id)
        hub.commit(repo_id, {"a.txt": b"a"})
        assert hub.content(repo_id)["a.txt"] == b"a"


def test_a_429_says_when_to_come_back(hub: Hub, repo: str) -> None:
    hub.faults.append(Fault("POST", "/repos/create", 429, nth=(1,), retry_after=7))
    with pytest.raises(HfHubHTTPError) as error:
        hub.api().create_repo("me/y")
    assert refused(error)[0] == 429
    assert error.value.response.headers["Retry-After"] == "7"
    hub.api().create_repo("me/y")


@pytest.mark.parametrize("action", ["drop", "cut"])
def test_a_connection_that_ends_leaves_nothing_done(hub: Hub, repo: str, action: str) -> None:
    hub.faults.append(Fault("POST", "/commit/", action, nth=(1,)))
    with pytest.raises(httpx.TransportError):
        hub.commit(repo, {"a.txt": b"a" * 300_000})
    assert "a.txt" not in hub.content(repo)
    (call,) = hub.calls("POST", "/commit/")
    assert call.status is None and len(call.body) < 390_000
    assert (len(call.body) > 0) == (action == "cut")
    hub.commit(repo, {"a.txt": b"a"})
    assert hub.content(repo)["a.txt"] == b"a"


def test_a_client_that_dies_in_a_commit_leaves_nothing_done(hub: Hub, repo: str) -> None:
    before = model_info(repo).sha
    line = '{"key": "header", "value": {"summary": "half", "description": ""}}'
    head = (
        f"POST /api/models/{repo}/commit/main HTTP/1.1\r\nHost: hub\r\n"
        f"Authorization: Bearer {hub.writer}\r\nContent-Length: 1000\r\n\r\n{line}\n"
    )
    address = urlsplit(hub.endpoint)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(head.encode())
    while not hub.calls("POST", "/commit/"):
        time.sleep(0.01)
    assert hub.calls("POST", "/commit/")[0].status is None
    assert model_info(repo).sha == before


def test_the_third_upload_is_cut_and_sent_again_by_the_client(hub: Hub, repo: str) -> None:
    hub.faults.append(Fault("PUT", "/lfs-upload/", "cut", nth=(3,)))
    weights = {f"m{i}.safetensors": bytes([i]) * 200_000 for i in range(4)}
    hub.commit(repo, weights)
    calls = hub.calls("PUT", "/lfs-upload/")
    assert len(calls) == 5 and sum(c.status is None for c in calls) == 1
    assert hub.content(repo)["m2.safetensors"] == weights["m2.safetensors"]


def test_a_lost_answer_leaves_the_commit_done(hub: Hub, repo: str) -> None:
    hub.faults.append(Fault("POST", "/commit/", "lose"))
    with pytest.raises(httpx.TransportError):
        hub.commit(repo, {"a.txt": b"a"})
    assert hub.content(repo)["a.txt"] == b"a"


def test_a_lie_leaves_nothing_done(hub: Hub, repo: str) -> None:
    before = model_info(repo).sha
    hub.faults.append(Fault("POST", "/commit/", "lie", nth=(1,)))
    told = hub.commit(repo, {"a.txt": b"a"})
    assert told != before and model_info(repo).sha == before
    hub.faults.append(Fault("PUT", "/lfs-upload/", "lie"))
    with pytest.raises(RuntimeError):
        hub.commit(repo, {"model.safetensors": WEIGHTS})
    assert "model.safetensors" not in hub.content(repo)


def test_others_are_served_during_a_delay(hub: Hub, repo: str) -> None:
    before = model_info(repo).sha
    delay = Fault("POST", "/commit/", "delay", seconds=1)
    hub.faults.append(delay)
    thread = threading.Thread(target=hub.commit, args=(repo, {"a.txt": b"a"}))
    thread.start()
    while not delay.seen:
        time.sleep(0.01)
    assert model_info(repo).sha == before
    thread.join()
    assert [c.method for c in hub.log[-2:]] == ["GET", "POST"]
    assert hub.content(repo)["a.txt"] == b"a"
