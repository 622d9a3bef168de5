"""Models of the Hub that are in the cache serve every command, whatever the Hub says of them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import CommitOperationAdd, snapshot_download

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.checkpoints.hub_cache import cached_snapshot
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.references import parts
from tests.support import published_runs
from tests.support.families import adapted_family
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.plans import plan
from tests.support.recipes import write_run_recipe
from tests.support.runs import run_main

hub = server.hub
pytestmark = [
    pytest.mark.costly,
    pytest.mark.filterwarnings("ignore::FutureWarning"),  # of PEFT's
]
Change = Callable[[Hub, pytest.MonkeyPatch], object]


def offline(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr("datasets.config.HF_HUB_OFFLINE", True)


def gated(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for repo in hub.store.repos.values():
        repo.gated = "auto"
    monkeypatch.delenv("HF_TOKEN")


def private(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    for repo in hub.store.repos.values():
        repo.private = True
    monkeypatch.delenv("HF_TOKEN")


def names(family: Family) -> list[str]:
    models = (family.base_model, *family.experts)
    return list(dict.fromkeys(part for model in models for part in parts(model)))


@pytest.fixture
def cached(hub: Hub, family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Family:
    """Models and adapters of which the cache holds what they need, and not every file."""
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    published = published_runs.put_on_hub(hub, adapted_family(family, tmp_path))
    for name in names(published):
        hub.commit(name, {"notes.txt": b"more", "original/params.json": b"{}"})
        snapshot_download(name, ignore_patterns=["notes.txt", "original/*"])
    return published


@pytest.fixture
def data(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task whose data are on the Hub, and in the cache of `datasets` after its first use."""
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", str(tmp_path / "data"))
    monkeypatch.setattr("datasets.config.HF_ENDPOINT", hub.endpoint)
    rows = [{"text": f"w{i}", "choices": ["w1", "w2"], "answer": i % 2} for i in range(40)]
    hub.api().create_repo("lab/data", repo_type="dataset")
    content = "\n".join(map(json.dumps, rows)).encode()
    hub.api().create_commit(
        "lab/data",
        [CommitOperationAdd("test.jsonl", content)],
        commit_message="data",
        repo_type="dataset",
    )
    task = {
        "task": "hubbed",
        "dataset_path": "lab/data",
        "output_type": "multiple_choice",
        "test_split": "test",
        "doc_to_text": "{{text}}",
        "doc_to_choice": "choices",
        "doc_to_target": "answer",
        "metric_list": [{"metric": "acc", "aggregation": "mean", "higher_is_better": True}],
    }
    folder = tmp_path / "tasks"
    folder.mkdir()
    (folder / "hubbed.yaml").write_text(yaml.safe_dump(task))
    return folder


def test_offline_every_command_takes_what_is_in_the_cache(
    hub: Hub,
    cached: Family,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def small(content: dict[str, Any]) -> None:
        content["evolution"] = {"children": 1}
        content["tasks"][0] |= {"task": "hubbed", "include_path": str(data)}
        for task in content["tasks"]:
            task["samples"] = {"search": "0-4", "holdout": "5-9"}

    recipe, run = write_run_recipe(tmp_path / "recipe.yaml", cached, small), tmp_path / "run"
    one = ("--tasks", "hubbed", "--include-path", data, "--samples", "0-4", "--device", "cpu")
    assert run_main("eval", cached.base_model, *one) == 0
    offline(hub, monkeypatch)
    hub.log.clear()
    for command in (
        ("plan", recipe, "--out", run),
        (recipe, "--out", run),
        ("eval", cached.experts[1], *one),
        ("eval", run, "--holdout"),
        ("merge", run / "aggregate.yaml", tmp_path / "merged"),
        ("verify", run),
        ("factorize", recipe),
    ):
        assert run_main(*command) == 0, (command, capsys.readouterr())
    assert not hub.log
    assert (tmp_path / "merged" / "model.safetensors").is_file()


@pytest.mark.parametrize("change", [gated, private])
def test_what_the_hub_does_not_give_to_this_token_comes_from_the_cache(
    change: Change,
    hub: Hub,
    cached: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    change(hub, monkeypatch)
    recipe, merged = tmp_path / "merged.yaml", tmp_path / "merged"
    recipe.write_text(Genome.uniform(cached).to_yaml())
    assert run_main("merge", recipe, merged) == 0, capsys.readouterr()
    assert (merged / "model.safetensors").is_file()
    run = write_run_recipe(tmp_path / "recipe.yaml", cached)
    found = plan(run, capsys, monkeypatch)
    assert found.code == 0
    assert [mark for mark, text in found["models"] if "taken from the cache" in text] == ["!"] * 4
    assert "nothing: all models are in the cache" in found.only("download")[1]


def test_a_snapshot_without_its_weights_is_not_taken(
    hub: Hub, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    published_runs.put_on_hub(hub, family)
    snapshot_download("lab/red", ignore_patterns=["*.safetensors"])
    offline(hub, monkeypatch)
    assert cached_snapshot("lab/red") is None
    with pytest.raises(ModelError, match="no folder 'lab/red' here, and the Hub does not give it"):
        Checkpoint.open("lab/red")


def test_a_snapshot_of_shards_needs_every_shard(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.api().create_repo("lab/shards")
    index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
    shards = {name: b"x" for name in index["weight_map"].values()}
    hub.commit(
        "lab/shards",
        {
            "config.json": b"{}",
            "model.safetensors.index.json": json.dumps(index).encode(),
            **shards,
        },
    )
    snapshot_download("lab/shards", ignore_patterns=["model-2*"])
    assert cached_snapshot("lab/shards") is None
    snapshot_download("lab/shards")
    assert cached_snapshot("lab/shards") is not None
