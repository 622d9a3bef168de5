"""The plan of a push, shown to who has no token yet."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import command, push

hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run
EVERYTHING = "aggregate,best,recipes,journal,report"


def test_without_a_token_a_dry_run_shows_the_whole_plan(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert command("push", run, "--what", EVERYTHING, "--dry-run") == 0, capsys.readouterr().err
    plan = capsys.readouterr().out
    for name, kind in (("best", "model"), ("recipes", "model"), ("journal", "dataset")):
        assert f"you/run-{name} ({kind}, main): new" in plan
    assert "you/run-report (space, main): new" in plan and "index.html" in plan
    assert plan.count("no token of the Hub, so `you` stands for your name there; `hf auth") == 1
    assert not hub.calls("*", "/you/|whoami"), "somebody may be called so"


def test_without_a_token_repos_that_are_named_are_asked_for(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, "--what", "recipes") == 0
    monkeypatch.delenv("HF_TOKEN")
    capsys.readouterr()
    assert push(run, "--what", "recipes,report", "--dry-run") == 0, capsys.readouterr().err
    plan = capsys.readouterr().out
    assert "me/tiny-recipes (model, main): exists, at " in plan
    assert "me/tiny-report (space, main): new" in plan and "no token" not in plan


def test_without_a_token_nothing_is_pushed(
    run: Path, hub: Hub, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("HF_TOKEN")
    assert command("push", run, "--what", "report") == 2
    assert (
        "needs a token of the Hub, got none; log in by `hf auth login`" in capsys.readouterr().err
    )
