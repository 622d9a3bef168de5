"""A published run, and going on with it elsewhere."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import CommitOperationAdd

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_header
from mergekit_cycleqd.run_folder.retention import FILE as RETENTION
from mergekit_cycleqd.run_folder.retention import Measured, read
from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import command, make_run, over, push, put_on_hub
from tests.support.recipes import TASKS

hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run


def test_a_second_person_goes_on_with_a_published_run(
    run: Path,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert push(run, "--what", "journal") == 0
    files = hub.content("me/tiny-journal", "dataset")
    assert "tasks/0/tiny_red.yaml" in files and "tasks/0/docs.py" in files
    assert str(run).encode() not in b"".join(files.values())
    assert str(TASKS.parent).encode() not in b"".join(files.values())
    monkeypatch.setenv("HF_TOKEN", hub.other)
    out = tmp_path / "second" / "run"
    assert command("pull-run", "me/tiny-journal", "--out", out) == 0
    said = capsys.readouterr().out
    assert "15 evaluated candidates" in said and "tasks/0/docs.py: Python code" in said
    trust = said.split()[-1]
    pulled = (out / FILE).read_bytes().split(b"\n")
    assert pulled[1:] == (run / FILE).read_bytes().split(b"\n")[1:]
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    recipe["evolution"]["children"] = 14
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    with pytest.raises(SystemExit) as exit:
        main([str(out / "recipe.yaml"), "--out", str(out), "--trust", trust])
    assert exit.value.code == 0, capsys.readouterr()
    assert "14 of 14 children" in (out / "summary.md").read_text()
    assert (out / FILE).read_bytes().split(b"\n")[: len(pulled) - 1] == pulled[:-1]
    assert command("push", out, "--repo-id", "other/{what}", "--what", "journal") == 0
    again = hub.content("other/journal", "dataset")
    assert again[FILE].startswith(files[FILE]), "the same header, and more lines"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("HOME", str(tmp_path / "home of me"))
    (tmp_path / "home of me").mkdir()
    return tmp_path / "home of me"


@pytest.fixture
def telling(family: Family, hub: Hub, tmp_path: Path, home: Path) -> Path:
    """A run whose options and failures tell where its files lie."""
    bench, data = tmp_path / "bench", home / "data.jsonl"
    bench.mkdir()
    data.touch()

    def change(content: dict[str, Any]) -> None:
        red, green, _ = content["tasks"]
        red["metadata"] = {"agentbench_root": str(bench), "protocol": "tools"}
        options = {"data_files": {"test": [str(data)]}, "prompt": f"/no_think see {data}, {bench}"}
        green["metadata"] = {"agentbench_root": str(bench), **options}

    run = make_run(tmp_path / "made", family, change)
    record = json.loads((run / FILE).read_bytes().splitlines()[1])
    record |= {"kind": "evaluation", "scores": None, "status": "failed"}
    record["error"] = f"FileNotFoundError: [Errno 2] No such file: '{bench}/x.sql' of org/model"
    record["worker"] = "actor 1 on 10.1.2.3"
    del record["crc32"]
    with (run / FILE).open("ab") as stream:
        stream.write(encode(record))
    return over(run, put_on_hub(hub, family))


def test_nothing_published_tells_where_files_lie_on_its_publishers_machine(
    telling: Path, hub: Hub, tmp_path: Path, home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(telling, "--what", "aggregate,best,recipes,journal") == 0, capsys.readouterr().err
    names = [(name, "model") for name in ("aggregate", "recipes", "best", "blue")]
    for name, kind in (*names, ("journal", "dataset")):
        for path, content in hub.content(f"me/tiny-{name}", kind).items():
            for secret in (str(tmp_path), str(home), str(TASKS.parent), "10.1.2.3"):
                assert secret.encode() not in content, (name, path)
    journal = hub.content("me/tiny-journal", "dataset")[FILE].splitlines()
    last = json.loads(journal[-1])
    assert last["error"] == "FileNotFoundError: [Errno 2] No such file: '(path)' of org/model"
    assert last["worker"] == "actor 1"
    ours = (telling / FILE).read_bytes().splitlines()
    assert journal[1:-1] == ours[1:-1] and len(journal) == len(ours)
    red, green, blue = json.loads(journal[0])["recipe"]["tasks"]
    assert red["metadata"] == {"agentbench_root": "<path: agentbench_root>", "protocol": "tools"}
    assert green["metadata"] == {
        "agentbench_root": "<path: agentbench_root>",
        "data_files": {"test": ["<path: test>"]},
        "prompt": "/no_think see <path: test>, <path: agentbench_root>",
    }
    assert blue["metadata"] is None


def test_who_pulls_a_run_is_asked_for_what_lay_on_the_publishers_machine(
    telling: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(telling, "--what", "journal") == 0
    out, mine, data = tmp_path / "pulled", tmp_path / "my bench", tmp_path / "my data"
    mine.mkdir()
    data.touch()
    pull = ("pull-run", "me/tiny-journal", "--out", out)
    for options, message in (
        ((), "say where it is on yours: --path agentbench_root=... --path test=..."),
        (("--path", f"test={data}"), "on yours: --path agentbench_root=..."),
        (("--path", "test"), "--path: must be NAME=PATH, got 'test'"),
        (("--path", f"agentbench_root={mine}", "--path", "test=no"), "no such file or folder 'no'"),
        (
            ("--path", f"agentbench_root={mine}", "--path", f"test={data}", "--path", "x=/"),
            "--path x: me/tiny-journal needs no such path; needed: agentbench_root, test",
        ),
    ):
        capsys.readouterr()
        assert command(*pull, *options) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert message in line and not out.exists()
    assert command(*pull, "--path", f"agentbench_root={mine}", "--path", f"test={data}") == 0
    recipe = load_recipe(out / "recipe.yaml")
    metadata = [task.metadata for task in recipe.tasks]
    assert metadata[0] == {"agentbench_root": str(mine), "protocol": "tools"}
    assert metadata[1]["data_files"] == {"test": [str(data)]}
    assert metadata[1]["prompt"] == f"/no_think see {data}, {mine}"
    told = read_header(out)["recipe"]
    assert told == recipe.written() | {"evolution": told["evolution"]}
    published = hub.content("me/tiny-journal", "dataset")[FILE]
    assert push(out, "--what", "journal") == 0
    assert hub.content("me/tiny-journal", "dataset")[FILE] == published


def test_scores_on_other_tasks_go_with_the_run_and_tell_no_path(
    telling: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench, other = str(tmp_path / "bench"), str(tmp_path / "other")
    measured = [
        Measured(
            genome="0" * 16,
            task="gsm8k",
            settings={"samples": "all", "metadata": metadata},
            scores={"acc,none": (0.25, 0.04)},
            metric="acc,none",
            higher_is_better=True,
            samples=100,
            seconds=1.5,
        )
        for metadata in ({}, {"agentbench_root": bench}, {"mine": f"{other}/x"})
    ]
    (telling / RETENTION).write_bytes(b"".join(encode(asdict(each)) for each in measured))
    assert push(telling, "--what", "journal") == 0
    published = hub.content("me/tiny-journal", "dataset")[RETENTION]
    assert str(tmp_path).encode() not in published
    assert published.splitlines()[0] == (telling / RETENTION).read_bytes().splitlines()[0]
    mine, data, out = tmp_path / "my bench", tmp_path / "my data", tmp_path / "pulled"
    mine.mkdir()
    data.touch()
    paths = ("--path", f"agentbench_root={mine}", "--path", f"test={data}")
    assert command("pull-run", "me/tiny-journal", "--out", out, *paths) == 0
    pulled = read(out)
    assert pulled[0] == measured[0]
    assert [each.settings["metadata"] for each in pulled] == [
        {},
        {"agentbench_root": str(mine)},
        {"mine": "<path: mine>"},
    ]
    push(out, "--what", "journal")
    assert hub.content("me/tiny-journal", "dataset")[RETENTION] == published


def test_a_task_file_that_names_the_publishers_home_is_told(
    run: Path, hub: Hub, home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tasks = tmp_path / "my tasks"
    tasks.mkdir()
    (tasks / "own.yaml").write_text(f"task: own\ndataset_path: {home}/data\n")
    header = read_header(run)
    header["recipe"]["tasks"][2]["include_path"] = str(tasks)
    rest = (run / FILE).read_bytes().split(b"\n", 1)[1]
    (run / FILE).write_bytes(encode(header) + rest)
    assert push(run, "--what", "journal") == 0
    said = capsys.readouterr().out
    assert f"note: tasks/1/own.yaml names {home}, which is published with it" in said
    assert "docs.py names" not in said


def test_pushing_a_run_that_went_on_updates_its_journal(run: Path, hub: Hub) -> None:
    assert push(run, "--what", "journal") == 0
    before = hub.content("me/tiny-journal", "dataset")
    assert push(run, "--what", "journal") == 0
    assert len(hub.api().list_repo_commits("me/tiny-journal", repo_type="dataset")) == 2
    last = (run / FILE).read_bytes().splitlines(keepends=True)[-1]
    with (run / FILE).open("ab") as stream:
        stream.write(last)
    assert push(run, "--what", "journal") == 0
    after = hub.content("me/tiny-journal", "dataset")
    assert [path for path in after if after[path] != before[path]] == [FILE]


def test_the_journal_of_another_run_is_not_overwritten(
    run: Path, hub: Hub, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, "--what", "journal") == 0
    text = hub.content("me/tiny-journal", "dataset")[FILE]
    header = read_header(run)
    spoilt = encode({**header, "fingerprints": {"x": "y"}}) + text.split(b"\n", 1)[1]
    hub.api().create_commit(
        "me/tiny-journal",
        [CommitOperationAdd(FILE, spoilt)],
        commit_message="another",
        repo_type="dataset",
    )
    assert push(run, "--what", "journal") == 2
    assert "me/tiny-journal: holds the journal of another run" in capsys.readouterr().err


@pytest.mark.parametrize("inside", ["../../elsewhere", "/etc", "tasks/../.."])
def test_a_published_run_cannot_name_files_outside_of_its_folder(
    inside: str, run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, "--what", "journal") == 0
    text = hub.content("me/tiny-journal", "dataset")[FILE]
    (tmp_path / "journal.jsonl").write_bytes(text)
    header = read_header(tmp_path)
    header["recipe"]["tasks"][0]["include_path"] = inside
    evil = encode(header) + text.split(b"\n", 1)[1]
    hub.api().create_commit(
        "me/tiny-journal",
        [CommitOperationAdd(FILE, evil)],
        commit_message="evil",
        repo_type="dataset",
    )
    assert command("pull-run", "me/tiny-journal", "--out", tmp_path / "out") == 2
    assert "names task files outside of tasks/" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_what_is_no_published_run_is_one_line(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command("pull-run", "me/none", "--out", tmp_path / "out") == 2
    assert "needs a run pushed with --what journal, got no such dataset" in capsys.readouterr().err
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "file").touch()
    assert command("pull-run", "me/none", "--out", tmp_path / "taken") == 2
    assert "must be a new or an empty folder" in capsys.readouterr().err
