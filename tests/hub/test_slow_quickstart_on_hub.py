"""The quickstart, from training its models to rebuilding what it published: all of it real."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from huggingface_hub import ModelCard, snapshot_download
from transformers import AutoModelForCausalLM, pipeline

from mergekit_cycleqd.hub.publications import choose_publications, open_run
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import over, push, put_on_hub
from tests.support.quickstart import make_quickstart

pytestmark = pytest.mark.slow
hub = server.hub

COMMAND = [sys.executable, "-c", "from mergekit_cycleqd.cli.main import main; main()"]
WEIGHTS = "model.safetensors"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The quickstart's run, as its user gets it."""
    recipe = make_quickstart(tmp_path_factory.mktemp("recipes"))
    out = recipe.parent / "run"
    subprocess.run([*COMMAND, recipe, "--out", out], check=True)
    return out


@pytest.fixture
def run(finished: Path, hub: Hub, tmp_path: Path) -> Path:
    """The run over its models on the Hub."""
    family = open_run(finished).search.family
    return over(Path(shutil.copytree(finished, tmp_path / "run")), put_on_hub(hub, family))


def rebuilt(reference: str, folder: Path) -> bytes:
    """The weights that the command makes of a published recipe, in an empty folder."""
    folder.mkdir()
    subprocess.run([*COMMAND, "merge", reference, "model", "--quiet"], cwd=folder, check=True)
    return (folder / "model" / WEIGHTS).read_bytes()


def test_the_quickstart_is_published_used_found_and_rebuilt(
    run: Path, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = open_run(run)
    chosen = choose_publications(record, ("aggregate", "best", "recipes"))
    names = [model.name for model in chosen]
    whats = ("--what", "aggregate,best,recipes")
    assert push(run, *whats) == 0, capsys.readouterr().err
    for name in names:
        pushed = hub.content(f"me/tiny-{name}")
        folder = Path(snapshot_download(f"me/tiny-{name}", local_dir=tmp_path / name))
        assert {path: (folder / path).read_bytes() for path in pushed} == pushed
        text = pushed["README.md"].decode()
        ModelCard(text).validate()
        linked = re.findall(r"\]\((?!https?:)([^)]+)\)", text)
        assert linked and not set(linked) - pushed.keys(), "every figure and file is there"
        if name != "recipes":
            AutoModelForCausalLM.from_pretrained(f"me/tiny-{name}")
            answer = pipeline("text-generation", model=f"me/tiny-{name}")(
                "List all files", max_new_tokens=8, return_full_text=False
            )
            assert answer[0]["generated_text"].strip()
    elites = sum(len(record.search.elites(task)) for task in record.search.tasks)
    assert sum(path.startswith("elites/") for path in hub.content("me/tiny-recipes")) == elites
    (collection,) = hub.api().list_collections(owner="me")
    items = hub.api().get_collection(collection.slug).items
    assert [item.item_id for item in items] == [f"me/tiny-{name}" for name in names]
    before = len(hub.calls("POST", "/commit/"))
    assert push(run, *whats) == 0, capsys.readouterr().err
    assert len(hub.calls("POST", "/commit/")) == before
    weights = rebuilt("me/tiny-aggregate", tmp_path / "elsewhere")
    assert weights == hub.content("me/tiny-aggregate")[WEIGHTS]
    task = record.search.tasks[0]
    path = f"elites/{task}/{record.search.elites(task)[0].index:06d}.yaml"
    weights = rebuilt(f"hf://me/tiny-recipes/{path}", tmp_path / "elite")
    assert weights == hub.content(f"me/tiny-{task}")[WEIGHTS]
