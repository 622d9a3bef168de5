"""Plans of runs over models on a real local Hub: faults come before any weights do."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import CommitOperationAdd

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run.prepare import prepare
from tests.support import published_runs
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.planted_faults import EXPERT, Ground, missing_tensor, named, wrong_tokenizer
from tests.support.recipes import write_run_recipe

hub = server.hub
MODELS = ("lab/base", "lab/red", "lab/green", "lab/blue")


@pytest.fixture
def published(hub: Hub, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    return published_runs.put_on_hub(hub, family)


def plan(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as exit:
        main(["plan", str(path), "--out", str(path.parent / "run"), *options])
    return int(exit.value.code or 0), capsys.readouterr().out


def weights_moved(hub: Hub) -> bool:
    """Whether anybody asked for the weights themselves, and not for their header alone."""
    asked = hub.calls("GET", r"/resolve/.*\.safetensors")
    return any("range" not in call.headers for call in asked)


def test_what_is_to_be_downloaded_is_told_and_not_downloaded(
    hub: Hub, published: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out = plan(write_run_recipe(tmp_path / "recipe.yaml", published), capsys)
    assert code == 0 and "can work" in out
    for model in MODELS:
        files = hub.content(model).items()
        taken = sum(len(content) for path, content in files if path.endswith(("json", "tensors")))
        assert f"{model} {taken / 1000:.1f} kB" in out
    assert "plan --download fetches them first" in out
    assert not weights_moved(hub)


def test_models_that_were_downloaded_are_measured_and_need_no_download_again(
    hub: Hub, published: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = write_run_recipe(tmp_path / "recipe.yaml", published)
    code, out = plan(recipe, capsys, "--download")
    assert code == 0 and "18 evaluations on search samples" in out
    assert weights_moved(hub)
    hub.log.clear()
    code, out = plan(recipe, capsys)
    assert code == 0 and "of models are in the cache" in out
    assert "18 evaluations on search samples" in out
    assert not weights_moved(hub)


def gated(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    hub.repo("lab/green").gated = "auto"
    monkeypatch.setenv("HF_TOKEN", hub.other)


def no_such_repo(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["experts"][1]["model"] = "lab/grene"


def no_such_revision(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["experts"][1]["model"] = "lab/green@v9"


def no_token(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["publish"] = {"repo_id": "me/run-{task}"}
    monkeypatch.delenv("HF_TOKEN")


def token_that_reads(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["publish"] = {"repo_id": "me/run-{task}"}
    monkeypatch.setenv("HF_TOKEN", hub.reader)


def foreign_owner(hub: Hub, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    content["publish"] = {"repo_id": "other/run-{task}"}


@pytest.mark.parametrize(
    ("plant", "message"),
    [
        (gated, f"{EXPERT}: lab/green: is gated; ask for access"),
        (no_such_repo, f"{EXPERT}: lab/grene: no such repo on the Hub"),
        (no_such_revision, f"{EXPERT}: lab/green@v9: has no such revision"),
        (no_token, "needs a token of the Hub, got none"),
        (token_that_reads, "needs a token that may write, got a read-only one of me"),
        (foreign_owner, "needs an owner that this token may write for (me, lab), got other"),
    ],
)
def test_what_the_hub_refuses_is_named_before_a_download(
    plant: Callable[..., None],
    message: str,
    hub: Hub,
    published: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_run_recipe(
        tmp_path / "recipe.yaml", published, lambda content: plant(hub, content, monkeypatch)
    )
    code, out = plan(recipe, capsys)
    assert code == 1 and any(message in fault for fault in named(out)), out
    with pytest.raises(RecipeError, match=r"lab/|publish|token"):
        prepare(recipe, tmp_path / "run")
    assert not weights_moved(hub)


@pytest.mark.parametrize("plant", [wrong_tokenizer, missing_tensor])
def test_an_expert_on_the_hub_is_held_against_the_base_without_its_weights(
    plant: Callable[[Ground], None],
    hub: Hub,
    family: Family,
    published: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    shutil.copytree(family.experts[1], tmp_path / "green")
    plant(Ground(tmp_path, monkeypatch))
    files = [CommitOperationAdd(p.name, str(p)) for p in sorted((tmp_path / "green").iterdir())]
    hub.api().create_commit("lab/green", files, commit_message="another")
    code, out = plan(write_run_recipe(tmp_path / "recipe.yaml", published), capsys)
    (fault,) = named(out)
    assert code == 1 and fault.startswith(f"{EXPERT}: ")
    assert "lacks model.norm.weight" in fault or "must have the base's vocabulary" in fault
    assert not weights_moved(hub)


def test_without_the_hub_what_the_cache_holds_will_do(
    hub: Hub,
    published: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = write_run_recipe(tmp_path / "recipe.yaml", published)
    prepare(recipe, tmp_path / "run")
    hub.faults.append(server.Fault("*", "", "drop"))
    code, out = plan(recipe, capsys)
    assert code == 0 and "base_model: taken from the cache of this machine" in out
