"""What goes wrong while publishing: one clear line, nothing half published, and it goes on."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd, HfApi

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.hub import client
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.hub.pins import folder_of
from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.faults import Fault
from tests.support.hub.server import Hub
from tests.support.published_runs import command, push

hub = server.hub
made, local_run = published_runs.made, published_runs.local_run

ASKED = "This answer was asked for by the test"

STEPS = {
    "account": ("GET", "/api/whoami-v2"),
    "look at the repo": ("GET", "/api/models/me/"),
    "create": ("POST", "/api/repos/create"),
    "validate": ("POST", "/api/validate-yaml"),
    "preupload": ("POST", "/preupload/"),
    "batch": ("POST", "/objects/batch"),
    "upload": ("PUT", "/lfs-upload/"),
    "commit": ("POST", "me/tiny-aggregate/commit/"),
    "refs": ("GET", "me/tiny-aggregate/refs"),
    "tag": ("POST", "/tag/"),
    "collection": ("POST", "/api/collections"),
    "item": ("POST", "/items"),
}


@pytest.fixture(autouse=True)
def without_waiting(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """How long the pushes of this process would have waited."""
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    return waits


def published(hub: Hub) -> bool:
    """Whether the model is there as a whole; a part of it fails the test."""
    if ("model", "me/tiny-aggregate") not in hub.store.repos:
        return False
    files = hub.content("me/tiny-aggregate")
    assert files.keys() == {".gitattributes"} or len(files) == 10, sorted(files)
    return len(files) == 10


@pytest.fixture
def run(local_run: Path) -> Path:
    """Its models are folders, so that every request is one of the push."""
    return local_run


def whole(hub: Hub) -> None:
    """The model, one commit after the repo's first, tagged, and in a collection."""
    assert published(hub)
    assert len(hub.api().list_repo_commits("me/tiny-aggregate")) == 2
    assert len(hub.api().list_repo_refs("me/tiny-aggregate").tags) == 1
    (collection,) = hub.api().list_collections(owner="me")
    items = hub.api().get_collection(collection.slug).items
    assert [item.item_id for item in items] == ["me/tiny-aggregate"]


def publish(run: Path, *args: str) -> int:
    return push(run, "--what", "aggregate", "--collection", "tiny", *args)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert "Traceback" not in line and len(line) < 600
    return line


@pytest.mark.parametrize(
    ("token", "message"),
    [
        (None, "needs a token of the Hub, got none; log in by `hf auth login`"),
        ("hf_nobodysToken", "the Hub does not know this token"),
        ("hf_reader_of_me", "needs a token that may write, got a read-only one of me"),
        (
            "hf_writer_of_other",
            "me/tiny-aggregate: needs an owner that this token may write for (other), got me",
        ),
    ],
    ids=["none", "unknown", "read-only", "of another namespace"],
)
def test_a_token_that_cannot_do_it_is_one_line_before_anything_is_built(
    token: str | None,
    message: str,
    run: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    assert publish(run) == 2
    line = one_line(capsys)
    assert message in line and "hf_" not in line
    assert not (run / ".publish").exists() and not published(hub)
    monkeypatch.setenv("HF_TOKEN", hub.writer)
    assert publish(run) == 0
    whole(hub)


def test_a_refusal_to_write_is_one_line_and_is_not_tried_again(
    run: Path,
    hub: Hub,
    without_waiting: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.faults.append(Fault("POST", "me/tiny-aggregate/commit/", 403))
    assert publish(run) == 2
    line = one_line(capsys)
    assert f"me/tiny-aggregate: refused by the Hub: {ASKED}; if that is about rights, it" in line
    assert len(hub.calls("POST", "me/tiny-aggregate/commit/")) == 1 and not without_waiting
    hub.faults.clear()
    assert publish(run) == 0
    whole(hub)


def test_a_repo_that_changed_meanwhile_is_one_line_and_the_same_command_completes(
    run: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert publish(run) == 0
    preupload = HfApi.preupload_lfs_files

    def while_somebody_commits(api: HfApi, repo_id: str, *args: Any, **settings: Any) -> None:
        monkeypatch.setattr(HfApi, "preupload_lfs_files", preupload)
        by_hand = CommitOperationAdd("notes.txt", b"mine")
        hub.api().create_commit(repo_id, [by_hand], commit_message="by hand")
        preupload(api, repo_id, *args, **settings)

    monkeypatch.setattr(HfApi, "preupload_lfs_files", while_somebody_commits)
    capsys.readouterr()
    assert publish(run, "--license", "mit") == 2
    assert "somebody changed it since this push began; run the same command" in one_line(capsys)
    assert publish(run, "--license", "mit") == 0
    files = hub.content("me/tiny-aggregate")
    assert files["notes.txt"] == b"mine" and b"license: mit" in files["README.md"]


def test_passing_faults_at_every_step_are_waited_out(
    run: Path, hub: Hub, without_waiting: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    for step in STEPS.values():
        hub.faults += [Fault(*step, 500, nth=(1,)), Fault(*step, 429, nth=(1,), retry_after=3)]
    assert publish(run) == 0, capsys.readouterr().err
    assert all(fault.seen[""] >= 2 for fault in hub.faults)
    assert len(without_waiting) >= 2 * len(STEPS)
    whole(hub)


def test_a_lasting_fault_at_each_step_is_one_line_and_the_same_command_goes_on(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    for step, route in STEPS.items():
        hub.faults[:] = [Fault(*route, 500)]
        assert publish(run) == 2, step
        line = one_line(capsys)
        assert "the Hub answered 500 again and again; run the same command later" in line, step
        assert published(hub) == (step in ("refs", "tag", "collection", "item")), step
    hub.faults.clear()
    assert publish(run) == 0, capsys.readouterr().err
    whole(hub)


@pytest.mark.parametrize("action", ["drop", "cut"])
def test_an_upload_whose_connection_breaks_goes_on(
    action: str,
    run: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.faults.append(Fault("PUT", "/lfs-upload/", action, nth=(1,)))
    assert publish(run) == 0, capsys.readouterr().err
    whole(hub)


def test_an_upload_that_always_breaks_is_one_line_and_nothing_is_published(
    run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults.append(Fault("PUT", "/lfs-upload/", "cut"))
    assert publish(run) == 2
    line = one_line(capsys)
    assert "me/tiny-aggregate: no answer from http://127.0.0.1" in line
    assert "Error while uploading 'model.safetensors'" in line
    assert not published(hub)
    hub.faults.clear()
    assert publish(run) == 0
    whole(hub)


def test_a_commit_whose_answer_got_lost_is_made_once(
    run: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.faults.append(Fault("POST", "me/tiny-aggregate/commit/", "lose", nth=(1,)))
    assert publish(run) == 0, capsys.readouterr().err
    assert len(hub.calls("POST", "me/tiny-aggregate/commit/")) == 1
    whole(hub)


def test_waiting_grows_and_a_hub_that_asks_for_too_long_is_not_waited_for(
    run: Path,
    hub: Hub,
    without_waiting: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.faults.append(Fault("POST", "/api/repos/create", 503))
    assert publish(run) == 2
    assert without_waiting == [1.0, 2.0, 4.0, 8.0, 16.0]
    hub.faults[:] = [Fault("POST", "/api/repos/create", 429, retry_after=3600)]
    without_waiting.clear()
    assert publish(run) == 2
    assert "answered 429" in capsys.readouterr().err and not without_waiting


def test_a_hub_that_does_not_answer_is_one_line(
    run: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.faults.append(Fault("*", "", "drop"))
    assert publish(run) == 2
    assert "your account: no answer from http://127.0.0.1" in one_line(capsys)


@pytest.mark.parametrize("hub", ["xet"], indirect=True)
def test_an_upload_that_xet_may_not_make_is_one_line_and_is_not_tried_again(
    run: Path, hub: Hub, without_waiting: list[float], capsys: pytest.CaptureFixture[str]
) -> None:
    hub.faults.append(Fault("GET", "xet-write-token", 403))
    assert publish(run) == 2
    assert "me/tiny-aggregate: refused by the Hub, which gives no reason" in one_line(capsys)
    assert not without_waiting and not published(hub)


@pytest.mark.parametrize("hub", ["xet"], indirect=True)
@pytest.mark.parametrize("status", [429, 503])
def test_a_lasting_fault_of_xets_tokens_ends_after_a_bounded_number_of_requests(
    status: int,
    run: Path,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "5ms")
    hub.faults.append(Fault("GET", "xet-write-token", status))
    assert publish(run) == 2
    assert f"me/tiny-aggregate: the Hub answered {status} again and again" in one_line(capsys)
    assert len(hub.calls("GET", "xet-write-token")) == 2 * 3, "two attempts, of two more each"
    assert not published(hub)
    hub.faults.clear()
    assert publish(run) == 0
    whole(hub)


@pytest.mark.parametrize("hub", ["xet"], indirect=True)
def test_a_lasting_fault_of_xets_tokens_ends_a_download_too(
    family: Family, hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_runs.put_on_hub(hub, family)
    monkeypatch.setattr(client, "ATTEMPTS", 2)
    monkeypatch.setenv("HF_XET_CLIENT_RETRY_BASE_DELAY", "5ms")
    hub.faults.append(Fault("GET", "xet-read-token", 503))
    client.Hub()
    with pytest.raises(HubError, match="lab/red: the Hub answered 503 again and again") as error:
        folder_of("lab/red")
    assert len(str(error.value).splitlines()) == 1
    assert len(hub.calls("GET", "xet-read-token")) < 10


@pytest.mark.parametrize(
    ("template", "fault", "message"),
    [
        ("me/a--{task}", None, "me/a--aggregate: is no id of a repo on the Hub"),
        ("me/{task}", Fault("POST", "validate-yaml", 400), "me/aggregate: "),
        ("me/{task}", Fault("POST", "/commit/", 409), "somebody changed it since"),
        ("me/{task}", Fault("POST", "/tag/", 404), "me/aggregate: the Hub answered 404"),
    ],
    ids=["malformed id", "refused card", "conflict", "not found"],
)
def test_other_refusals_are_one_line_and_are_not_tried_again(
    template: str,
    fault: Fault | None,
    message: str,
    run: Path,
    hub: Hub,
    without_waiting: list[float],
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.faults += [fault] if fault else []
    assert command("push", run, "--repo-id", template, "--what", "aggregate") == 2
    assert message in one_line(capsys)
    assert not without_waiting


def test_a_gated_expert_is_one_line(
    local_run: Path,
    family: Family,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run = published_runs.over(local_run, published_runs.put_on_hub(hub, family))
    hub.repo("lab/red").gated = "auto"
    monkeypatch.setenv("HF_TOKEN", hub.other)
    assert command("push", run, "--repo-id", "other/{task}", "--what", "recipes") == 2
    assert "lab/red: is gated; ask for access on its page" in one_line(capsys)


def test_a_token_that_a_card_would_show_is_not_published(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("HF_TOKEN", hub.add_token("tiny_red", "me"))
    assert publish(run) == 2
    assert "README.md would hold the token of the Hub itself" in one_line(capsys)
    assert not published(hub)
