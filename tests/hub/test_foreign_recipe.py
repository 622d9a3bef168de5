"""What the recipe of a stranger's run may not bring along: publishing, consent, paths, escapes."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.journal_reading import read_header, read_recipe
from mergekit_cycleqd.run_folder.pulled import code_of
from tests.support import published_runs
from tests.support.foreign_runs import REPO, publish_changed
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import command

hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run


def pulled(out: Path, *options: object) -> int:
    return command("pull-run", REPO, "--out", out, *options)


def test_a_section_publish_of_a_stranger_is_dropped_and_said(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    section = {"what": ["journal"], "collection": "all mine"}
    publish_changed(
        run, hub, lambda recipe: recipe.update(publish=section), lambda r: r.update(publish=section)
    )
    out = tmp_path / "pulled"
    assert pulled(out) == 0
    assert "note: publish: was in the stranger's recipe, and is dropped" in capsys.readouterr().out
    assert load_recipe(out / "recipe.yaml").publish is None
    assert "publish" not in yaml.safe_load((out / "recipe.yaml").read_text())
    assert "publish" not in read_header(out)["recipe"]
    with pytest.raises(SystemExit) as exit:
        main([str(out / "recipe.yaml"), "--out", str(out), "--trust", code_of(out).digest])
    assert exit.value.code == 0
    assert not hub.api().repo_exists("me/pulled-journal", repo_type="dataset")
    assert "collection" not in capsys.readouterr().out


def test_workers_of_a_stranger_are_dropped_and_said(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    workers = {"kind": "ray", "count": 2, "address": "10.6.6.6:6379"}
    publish_changed(run, hub, lambda recipe: recipe.update(workers=workers))
    assert pulled(tmp_path / "pulled") == 0
    assert "note: workers: was in the stranger's recipe, and is dropped" in capsys.readouterr().out
    assert load_recipe(tmp_path / "pulled" / "recipe.yaml").workers.kind == "local"


def consenting(recipe: dict[str, Any]) -> None:
    recipe["tasks"][1]["confirm_run_unsafe_code"] = True
    recipe.setdefault("engine", {})["trust_remote_code"] = True


def test_the_publishers_consent_is_not_that_of_who_pulls(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_changed(run, hub, consenting, consenting)
    out = tmp_path / "pulled"
    assert pulled(out) == 0
    said = capsys.readouterr().out
    for key in ("tasks[1].confirm_run_unsafe_code", "engine.trust_remote_code"):
        assert f"note: {key}: was true for the publisher, and is false now" in said
    recipe = load_recipe(out / "recipe.yaml")
    assert not recipe.engine.trust_remote_code
    assert not any(task.confirm_run_unsafe_code for task in recipe.tasks)
    for given in (False, True):
        if given:
            content = yaml.safe_load((out / "recipe.yaml").read_text())
            consenting(content)
            (out / "recipe.yaml").write_text(yaml.safe_dump(content))
        told = read_recipe(out)  # what eval, verify and push take
        assert told.engine.trust_remote_code == given
        assert [task.confirm_run_unsafe_code for task in told.tasks] == [False, given, False]


def test_a_consent_among_defaults_of_tasks_is_taken_back_too(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def consenting_for_all(recipe: dict[str, Any]) -> None:
        for task in recipe["tasks"]:
            task.pop("confirm_run_unsafe_code", None)
        recipe["task_defaults"] = {"confirm_run_unsafe_code": True}

    publish_changed(run, hub, consenting_for_all, consenting_for_all)
    out = tmp_path / "pulled"
    assert pulled(out) == 0
    said = capsys.readouterr().out
    for number in range(3):
        assert f"note: tasks[{number}].confirm_run_unsafe_code: was true for the publisher" in said
    for recipe in (load_recipe(out / "recipe.yaml"), read_recipe(out)):
        assert not any(task.confirm_run_unsafe_code for task in recipe.tasks)


def test_a_placeholder_is_filled_only_where_a_path_is_meant(
    run: Path, hub: Hub, tmp_path: Path
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()

    def asks(recipe: dict[str, Any]) -> None:
        recipe["tasks"][0]["metadata"] = {"agentbench_root": "<path: root>"}
        recipe["tasks"][1]["system_instruction"] = "see <path: root>"
        recipe["publish"] = {"collection": "<path: root>"}

    publish_changed(run, hub, asks, asks)
    out = tmp_path / "pulled"
    assert pulled(out, "--path", f"root={mine}") == 0
    for content in (yaml.safe_load((out / "recipe.yaml").read_text()), read_header(out)["recipe"]):
        assert content["tasks"][0]["metadata"] == {"agentbench_root": str(mine)}
        assert content["tasks"][1]["system_instruction"] == "see <path: root>"
        assert "publish" not in content


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("agentbench_root", "/home/you/secret"),
        ("data_files", "../../secret.jsonl"),
        ("data_files", "~/secret.jsonl"),
        ("data_files", "/home/$(touch${IFS}owned)/secret"),
    ],
)
def test_a_path_of_this_machine_in_a_strangers_recipe_counts_only_as_the_user_maps_it(
    key: str,
    value: str,
    run: Path,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    mine = tmp_path / "mine"
    mine.mkdir()

    def names(recipe: dict[str, Any]) -> None:
        recipe["tasks"][0]["metadata"] = {key: value}

    publish_changed(run, hub, names, names)
    out = tmp_path / "pulled"
    capsys.readouterr()
    assert pulled(out) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"--path {shlex.quote(value + '=...')}" in line and not out.exists()
    assert pulled(out, "--path", f"{value}={mine}") == 0
    assert load_recipe(out / "recipe.yaml").tasks[0].metadata == {key: str(mine)}


def test_models_of_a_strangers_run_are_those_of_the_hub(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_changed(run, hub, *[lambda r: r.update(base_model="../base")] * 2)
    capsys.readouterr()
    assert pulled(tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "base_model: needs a model of the Hub, org/name, got '../base'" in line


def test_a_recipe_that_is_not_that_of_its_journal_is_refused(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_changed(run, hub, lambda r: r["tasks"][0].update(include_path="tasks/0/../../.."))
    assert pulled(tmp_path / "out") == 2
    assert "names task files outside of tasks/" in capsys.readouterr().err
    publish_changed(run, hub, lambda r: r["tasks"][0].update(task="other"))
    assert pulled(tmp_path / "out") == 2
    assert "is not the recipe of its journal" in capsys.readouterr().err
    publish_changed(run, hub, header=lambda r: r.pop("tasks"))
    assert pulled(tmp_path / "out") == 2
    assert "line 1 holds no recipe" in capsys.readouterr().err


def test_the_user_may_consent_in_the_recipe_of_a_pulled_run(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_changed(run, hub, consenting, consenting)
    out = tmp_path / "pulled"
    assert pulled(out) == 0
    content = yaml.safe_load((out / "recipe.yaml").read_text())
    content["tasks"][1]["confirm_run_unsafe_code"] = True
    (out / "recipe.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
    with pytest.raises(SystemExit) as exit:
        main([str(out / "recipe.yaml"), "--out", str(out), "--trust", code_of(out).digest])
    assert exit.value.code == 0, capsys.readouterr()


def test_files_that_no_folder_holds_are_one_line(
    run: Path,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    long = "a" * 300
    publish_changed(run, hub, files={f"tasks/0/{long}.yaml": b"a: 1\n"})
    capsys.readouterr()
    assert pulled(tmp_path / "out") == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: me/tiny-journal: ") and "File name too long" in line
    monkeypatch.setattr("mergekit_cycleqd.hub.pull._MOST_BYTES_OF_TASK", 4)
    assert pulled(tmp_path / "out") == 2
    assert "must have at most 4" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_proposal_that_anybody_may_make_is_no_model_of_a_repo(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    publish_changed(run, hub, *[lambda r: r.update(base_model="lab/base@refs/pr/7")] * 2)
    assert pulled(tmp_path / "out") == 2
    assert "base_model: lab/base@refs/pr/7 is a proposal" in capsys.readouterr().err
