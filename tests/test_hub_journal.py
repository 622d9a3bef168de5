"""A published run, and going on with it elsewhere."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from huggingface_hub import CommitOperationAdd

from mergekit_cycleqd.cli import main
from mergekit_cycleqd.journal import FILE, read_header
from mergekit_cycleqd.journal_lines import encode
from tests import hub_server, publishing
from tests.hub_server import Hub
from tests.publishing import command, push

hub = hub_server.hub
made, local_run, run = publishing.made, publishing.local_run, publishing.run


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
    assert str(Path(publishing.__file__).parent).encode() not in b"".join(files.values())
    monkeypatch.setenv("HF_TOKEN", hub.other)
    out = tmp_path / "second" / "run"
    assert command("pull-run", "me/tiny-journal", "--out", out) == 0
    said = capsys.readouterr().out
    assert "15 evaluated candidates" in said and "docs.py will be run by lm-eval" in said
    pulled = (out / FILE).read_bytes().split(b"\n")
    assert pulled[1:] == (run / FILE).read_bytes().split(b"\n")[1:]
    recipe = yaml.safe_load((out / "recipe.yaml").read_text())
    recipe["evolution"]["children"] = 14
    (out / "recipe.yaml").write_text(yaml.safe_dump(recipe, sort_keys=False))
    with pytest.raises(SystemExit) as exit:
        main([str(out / "recipe.yaml"), "--out", str(out)])
    assert exit.value.code == 0, capsys.readouterr()
    assert "14 of 14 children" in (out / "summary.md").read_text()
    assert (out / FILE).read_bytes().split(b"\n")[: len(pulled) - 1] == pulled[:-1]
    assert command("push", out, "--repo-id", "other/{what}", "--what", "journal") == 0
    again = hub.content("other/journal", "dataset")
    assert again[FILE].startswith(files[FILE]), "the same header, and more lines"


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
