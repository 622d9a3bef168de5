"""The report of a run as a Space, without what is of its publisher's machine."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from huggingface_hub import RepoCard

from mergekit_cycleqd.run_folder.example_answers import FILE
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import push
from tests.support.report_pages import Page

hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run


def keep_an_answer(folder: Path) -> None:
    best = RunView.read(folder).search.best_all_round().genome.id
    answer = {"task": "red", "split": "search", "sample": 0, "question": "which colour",
              "target": "red", "said": "red it is", "score": 1.0}  # fmt: skip
    name = "the model to take"
    content = {"version": 1, "models": {name: best}, "answers": {name: [answer]}}
    (folder / FILE).write_text(json.dumps(content))


def page_of(hub: Hub, tmp_path: Path) -> Page:
    file = tmp_path / "page.html"
    file.write_bytes(hub.content("me/tiny-report", "space")["index.html"])
    return Page(file)


def test_the_report_is_a_static_space_that_the_cards_link(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_an_answer(run)
    assert push(run, "--what", "best,report") == 0, capsys.readouterr().err
    assert "note: the report shows questions of red; --no-examples" in capsys.readouterr().out
    content = hub.content("me/tiny-report", "space")
    data = RepoCard(content["README.md"].decode()).data
    assert (data.sdk, data.app_file) == ("static", "index.html")
    assert set(data.models) >= {"me/tiny-best"}
    link = f"{hub.api().endpoint}/spaces/me/tiny-report"
    assert f"]({link})" in hub.content("me/tiny-best")["README.md"].decode()
    page = page_of(hub, tmp_path)
    assert "which colour" in page.text and "red it is" in page.text
    assert "mergekit-cycleqd merge hf://me/tiny-best my-model" in page.text
    items = [c for c in hub.api().list_collections(owner="me")]
    kinds = {item.item_type for item in hub.api().get_collection(items[0].slug).items}
    assert kinds == {"model", "space"}
    before = len(hub.log)
    assert push(run, "--what", "best,report") == 0, capsys.readouterr().err
    assert not [call for call in hub.log[before:] if "/commit/" in call.path]


def test_it_holds_no_path_of_the_publishers_machine(
    local_run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(local_run, "--what", "report") == 0, capsys.readouterr().err
    page = page_of(hub, tmp_path)
    for text in (page.text, page.unpacked("recipes"), json.dumps(page.data)):
        for private in (tmp_path, tmp_path.parent, Path.home()):
            assert str(private) not in text
    family = RunView.read(local_run).search.family
    assert all(model not in page.unpacked("recipes") for model in family.experts)
    assert "./" in page.unpacked("recipes")


def test_without_examples_no_question_is_shown(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keep_an_answer(run)
    assert push(run, "--what", "report", "--no-examples") == 0, capsys.readouterr().err
    assert "which colour" not in page_of(hub, tmp_path).text


def test_a_space_of_something_else_is_left_alone(
    run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    api = hub.api()
    api.create_repo("me/tiny-report", repo_type="space", space_sdk="static")
    api.upload_file(
        path_or_fileobj=b"x", path_in_repo="app.js", repo_id="me/tiny-report", repo_type="space"
    )
    assert push(run, "--what", "report") == 2
    assert "me/tiny-report: holds something else (app.js), no report" in capsys.readouterr().err
    assert push(run, "--what", "report", "--dry-run") == 2
