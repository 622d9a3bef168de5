"""Pushing runs to a real local Hub with the real client."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from huggingface_hub import CommitOperationAdd, ModelCard, snapshot_download
from transformers import AutoModelForCausalLM, pipeline

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.lineage_file import parse_lineage_file
from mergekit_cycleqd.hub.publications import choose_publications
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import push

hub = server.hub
made, local_run, run = published_runs.made, published_runs.local_run, published_runs.run


def commits(hub: Hub) -> int:
    return len(hub.calls("POST", "/commit/"))


def test_what_was_pushed_comes_back_whole_and_works_and_a_second_push_makes_no_commit(
    run: Path,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    names = ("best", "blue", "aggregate", "recipes")  # red's and green's best is the best of all
    assert push(run, "--what", "aggregate,best,recipes") == 0, capsys.readouterr().err
    for name in names:
        pushed = hub.content(f"me/tiny-{name}")
        folder = Path(snapshot_download(f"me/tiny-{name}", local_dir=tmp_path / name))
        assert {path: (folder / path).read_bytes() for path in pushed} == pushed
        assert len(hub.api().list_repo_commits(f"me/tiny-{name}")) == 2, "one more than creation"
        genome = parse_lineage_file(pushed["lineage.json"])["model"]["genome"]
        tags = [tag.name for tag in hub.api().list_repo_refs(f"me/tiny-{name}").tags]
        assert tags == ["children-12" if name == "recipes" else f"genome-{genome}"]
        assert ("model.safetensors" in pushed) == (name != "recipes")
        assert yaml.safe_load(pushed["mergekit_config.yml"])["merge_method"] == "cycleqd"
    AutoModelForCausalLM.from_pretrained("me/tiny-best")
    (answer,) = pipeline("text-generation", model="me/tiny-aggregate")("w1 w2", max_new_tokens=3)
    assert answer["generated_text"].startswith("w1 w2")
    (collection,) = hub.api().list_collections(owner="me")
    items = hub.api().get_collection(collection.slug).items
    assert [item.item_id for item in items] == [f"me/tiny-{name}" for name in names]
    assert all("holdout" in (item.note or "") for item in items)
    before = len(hub.log)
    assert push(run, "--what", "aggregate,best,recipes") == 0, capsys.readouterr().err
    written = [call for call in hub.log[before:] if call.method in ("POST", "PUT", "PATCH")]
    assert [call.path for call in written] == ["/api/collections"]  # which finds that it exists
    assert not (run / ".publish").exists()


@pytest.mark.parametrize("hub", ["xet"], indirect=True)
def test_weights_move_by_xet_where_it_is_on(run: Path, hub: Hub, tmp_path: Path) -> None:
    assert push(run, "--what", "aggregate") == 0
    assert hub.calls("GET", "aggregate/xet-write-token") and not hub.calls("PUT", "/lfs-upload/")
    pushed = hub.content("me/tiny-aggregate")
    folder = Path(snapshot_download("me/tiny-aggregate", local_dir=tmp_path / "model"))
    assert {path: (folder / path).read_bytes() for path in pushed} == pushed
    before = len(hub.calls("POST", "/commit/"))
    assert push(run, "--what", "aggregate") == 0
    assert len(hub.calls("POST", "/commit/")) == before


def test_a_dry_run_shows_repos_files_sizes_and_what_exists_and_sends_nothing(
    run: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = len(hub.log)
    assert push(run, "--what", "best,recipes", "--dry-run") == 0
    plan = capsys.readouterr().out
    assert {call.method for call in hub.log[before:]} <= {"GET", "HEAD"}
    assert "me/tiny-best (model, main): new" in plan and "to build" in plan
    assert "about 72.2 kB" in plan and "elites/green/" in plan
    assert push(run, "--what", "recipes") == 0
    capsys.readouterr()
    assert push(run, "--what", "recipes", "--dry-run") == 0
    plan = capsys.readouterr().out
    head = hub.repo("me/tiny-recipes").find("main").oid
    assert f"exists, at {head[:8]}" in plan and "new" not in plan


def test_pushing_again_updates_what_changed_and_nothing_else(
    run: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert push(run, "--what", "aggregate") == 0
    before = hub.content("me/tiny-aggregate")
    hub.api().create_commit(
        "me/tiny-aggregate", [CommitOperationAdd("notes.txt", b"mine")], commit_message="by hand"
    )
    uploads = len(hub.calls("PUT", "/lfs-upload/"))
    assert push(run, "--what", "aggregate", "--license", "mit") == 0, capsys.readouterr().err
    after = hub.content("me/tiny-aggregate")
    assert after.pop("notes.txt") == b"mine"
    assert [path for path in after if after[path] != before[path]] == ["README.md"]
    assert ModelCard(after["README.md"].decode()).data.license == "mit"
    assert len(hub.calls("PUT", "/lfs-upload/")) == uploads


def test_a_changed_weight_file_is_built_and_pushed_again(run: Path, hub: Hub) -> None:
    assert push(run, "--what", "aggregate") == 0
    before = hub.content("me/tiny-aggregate")
    hub.api().create_commit(
        "me/tiny-aggregate",
        [CommitOperationAdd("model.safetensors", b"no weights")],
        commit_message="by hand",
    )
    assert push(run, "--what", "aggregate") == 0
    assert hub.content("me/tiny-aggregate") == before


def test_the_recipe_is_pinned_to_the_commits_that_the_run_used(
    run: Path,
    hub: Hub,
    family: Family,
) -> None:
    used = hub.repo("lab/red").find("main").oid
    assert push(run, "--what", "recipes") == 0  # downloads the models of now, as a run does
    weights = (Path(family.experts[1]) / "model.safetensors").read_bytes()
    hub.api().create_commit(
        "lab/red", [CommitOperationAdd("model.safetensors", weights)], commit_message="another"
    )
    assert push(run, "--what", "aggregate") == 0
    pushed = hub.content("me/tiny-aggregate")
    recipe = yaml.safe_load(pushed["mergekit_config.yml"])
    assert recipe["models"][0]["model"] == f"lab/red@{used}"
    assert (
        Genome.from_mergekit(recipe).id
        == parse_lineage_file(pushed["lineage.json"])["model"]["genome"]
    )


def test_a_model_that_is_no_longer_the_runs_is_refused(
    run: Path,
    hub: Hub,
    family: Family,
    capsys: pytest.CaptureFixture[str],
) -> None:
    weights = (Path(family.experts[1]) / "model.safetensors").read_bytes()
    hub.api().create_commit(
        "lab/red", [CommitOperationAdd("model.safetensors", weights)], commit_message="another"
    )
    before = commits(hub)
    assert push(run) == 2
    assert "lab/red: is not what the run was made with any more" in capsys.readouterr().err
    assert commits(hub) == before


def test_a_base_with_another_template_is_not_pinned(
    run: Path, hub: Hub, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = json.loads((Path(family.base_model) / "tokenizer_config.json").read_text())
    other = json.dumps(settings | {"chat_template": "{{ messages }}"}).encode()
    hub.api().create_commit(
        "lab/base", [CommitOperationAdd("tokenizer_config.json", other)], commit_message="another"
    )
    before = commits(hub)
    assert push(run) == 2
    assert (
        "lab/base: is not what the run was made with any more (its tokenizer, templates or "
        "settings are others)"
    ) in capsys.readouterr().err
    assert commits(hub) == before


def test_private_repos_and_another_branch(run: Path, hub: Hub) -> None:
    assert push(run, "--what", "aggregate,journal", "--private", "--revision", "next") == 0
    for kind, name in (("model", "aggregate"), ("dataset", "journal")):
        info = hub.api().repo_info(f"me/tiny-{name}", repo_type=kind)
        assert info.private
        assert "README.md" not in hub.content(f"me/tiny-{name}", kind)
        assert "README.md" in hub.content(f"me/tiny-{name}", kind, "next")
    (collection,) = hub.api().list_collections(owner="me")
    assert collection.private
    assert push(run, "--what", "aggregate", "--revision", "other") == 0, "a branch of its own"
    assert "README.md" in hub.content("me/tiny-aggregate", "model", "other")


def test_a_run_over_folders_publishes_weights_and_says_that_nobody_can_rebuild_them(
    local_run: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert push(local_run, "--what", "best") == 0
    assert "not on the Hub" in capsys.readouterr().out
    pushed = hub.content("me/tiny-best")
    assert b"Not on the Hub: ./base, ./red, ./green, ./blue" in pushed["README.md"]
    data = ModelCard(pushed["README.md"].decode()).data
    assert data.base_model is None and data.license == "other"
    everything = b"".join(pushed.values())
    assert str(local_run).encode() not in everything and b"/base" in everything
    assert b"/family" not in everything, "where models lie on this machine is nobody's business"
    for what in ("recipes", "journal"):
        assert push(local_run, "--what", what) == 2
        assert "on the Hub, got the folders ./base" in capsys.readouterr().err


def test_a_repo_that_holds_something_else_is_left_alone(
    run: Path,
    hub: Hub,
    capsys: pytest.CaptureFixture[str],
) -> None:
    hub.api().create_repo("me/tiny-aggregate")
    hub.api().create_commit(
        "me/tiny-aggregate", [CommitOperationAdd("weights.bin", b"1")], commit_message="mine"
    )
    before = commits(hub)
    assert push(run) == 2
    assert "me/tiny-aggregate: holds something else (weights.bin)" in capsys.readouterr().err
    assert commits(hub) == before


@pytest.fixture
def secret(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    token = hub.add_token("hf_RecognisableSecret123", "me")
    monkeypatch.setenv("HF_TOKEN", token)
    yield token


def test_the_token_is_in_nothing_that_is_written_or_printed(
    run: Path,
    hub: Hub,
    secret: str,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    assert push(run, "--what", "aggregate,recipes,journal") == 0
    assert push(run, "--repo-id", "other/{task}") == 2
    seen = capfd.readouterr()
    assert secret not in seen.out + seen.err + caplog.text
    assert any(call.authorization == f"Bearer {secret}" for call in hub.log)
    assert not any(secret in call.path or secret.encode() in call.body for call in hub.log)
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) > 20
    assert not [path for path in files if secret.encode() in path.read_bytes()]
    for name, kind in (("aggregate", "model"), ("recipes", "model"), ("journal", "dataset")):
        assert secret.encode() not in b"".join(hub.content(f"me/tiny-{name}", kind).values())


def test_one_model_gets_one_repo_and_the_best_all_round_comes_first(
    hub: Hub, run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    view = RunView.read(run)
    chosen = choose_publications(view, ("aggregate", "best"))
    ids = [model.genome.id for model in chosen]
    assert chosen[0].name == "best" and chosen[0].genome == view.search.best_all_round().genome
    assert len(ids) == len(set(ids)) and chosen[-1].name == "aggregate"
    tasks = {model.task for model in chosen}
    others = [t for t in view.search.tasks if t not in tasks]
    assert others, "the fixture has a task whose best elite is the best all-round elite"
    assert push(run, "--what", "aggregate,best", "--dry-run") == 0
    said = capsys.readouterr().out
    for task in others:
        assert f"note: the best elite of {task} is the " in said
    assert said.index("me/tiny-best") < said.index("me/tiny-aggregate")
