"""`publish:` in the recipe of a run: looked at before the search, done after it."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.hub.account_check import check_before_run
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.recipe.publish import Publish
from tests.support.families import COLOURS
from tests.support.hub import server
from tests.support.hub.faults import Fault
from tests.support.hub.server import Hub
from tests.support.recipes import RecipeMaker

hub = server.hub
WAY_AROUND = "or take `publish:` out of the recipe, and publish the finished run by"
SECTION: dict[str, Any] = {"repo_id": "me/{task}", "what": ["aggregate"], "collection": "tiny"}


def command(*words: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(word) for word in words])
    return int(exit.value.code or 0)


def errors(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [line for line in capsys.readouterr().err.splitlines() if line.startswith("error: ")]


@pytest.mark.parametrize(
    ("token", "repo_id", "message"),
    [
        (None, "me/{task}", "your account: needs a token of the Hub, got none; log in by"),
        ("hf_nobodysToken", "me/{task}", "the Hub does not know this token; make a new one"),
        ("hf_reader_of_me", "me/{task}", "needs a token that may write, got a read-only one of me"),
        ("hf_reader_of_me", None, "needs a token that may write, got a read-only one of me"),
        (
            "hf_writer_of_me",
            "you/{task}",
            "needs an owner that this token may write for (me, lab)",
        ),
        ("hf_writer_of_me", "me/a--{task}", "me/a--aggregate: is no id of a repo on the Hub"),
    ],
    ids=["none", "unknown", "read-only", "read-only, own name", "other namespace", "malformed id"],
)
def test_an_account_that_may_not_publish_is_told_with_the_way_around(
    token: str | None,
    repo_id: str | None,
    message: str,
    hub: Hub,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if token is None:
        monkeypatch.delenv("HF_TOKEN")
    else:
        monkeypatch.setenv("HF_TOKEN", token)
    with pytest.raises(HubError) as error:
        check_before_run(Publish(repo_id=repo_id), COLOURS)
    line = str(error.value)
    assert line.startswith("publish: ") and message in line and WAY_AROUND in line
    assert "\n" not in line and "hf_" not in line


def test_without_a_network_it_is_told_after_a_few_attempts(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[float] = []
    monkeypatch.setattr(time, "sleep", waits.append)
    hub.faults.append(Fault("*", "", "drop"))
    with pytest.raises(HubError, match="publish: your account: no answer from http") as error:
        check_before_run(Publish(), COLOURS)
    assert WAY_AROUND in str(error.value) and waits == [1.0, 2.0]
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(HubError, match="switched off by HF_HUB_OFFLINE; unset it") as error:
        check_before_run(Publish(), COLOURS)
    assert WAY_AROUND in str(error.value) and len(waits) == 2


def test_a_run_is_checked_before_it_and_published_after_it_and_a_broken_push_goes_on(
    make_recipe: RecipeMaker,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["children"] = 3
        content["publish"] = SECTION

    recipe, out = make_recipe(change), tmp_path / "my run"
    monkeypatch.setenv("HF_TOKEN", "hf_reader_of_me")
    assert command(recipe, "--out", out) == 2
    (line,) = errors(capsys)
    assert "got a read-only one of me" in line and WAY_AROUND in line
    assert not out.exists()

    monkeypatch.setenv("HF_TOKEN", hub.writer)
    hub.faults.append(Fault("POST", "/commit/", 403))
    assert command(recipe, "--out", out) == 2
    (line,) = errors(capsys)
    assert "me/aggregate: refused by the Hub: This answer was asked for by the test; if" in line
    assert (out / "summary.md").is_file() and (out / "aggregate.yaml").is_file()
    _, again = line.split("The run itself is finished and kept; to publish it: ")
    hub.faults.clear()
    program, *words = shlex.split(again)
    assert program == "mergekit-cycleqd" and command(*words) == 0
    assert "model.safetensors" in hub.content("me/aggregate")
    assert [each.title for each in hub.api().list_collections(owner="me")] == ["tiny"]
    commits = len(hub.calls("POST", "/commit/"))
    assert command(recipe, "--out", out) == 0
    assert "me/aggregate: is up to date" in capsys.readouterr().out
    assert len(hub.calls("POST", "/commit/")) == commits


@pytest.mark.parametrize(
    "options",
    [
        Publish(),
        Publish(
            repo_id="me/{what}-{task}",
            what=("best", "journal"),
            private=True,
            collection="two words",
            license="mit",
            revision="next",
            datasets={"red": "org/reds"},
        ),
    ],
)
def test_the_command_that_pushes_again_means_the_same(
    options: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    pushed: list[tuple[Path, Publish]] = []
    monkeypatch.setattr(
        "mergekit_cycleqd.hub.push.push_run", lambda run, what, *_, **__: pushed.append((run, what))
    )
    _, *words = options.command(Path("my run"))
    assert command(*words) == 0
    assert pushed == [(Path("my run"), options)]
