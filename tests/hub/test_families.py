"""Runs of every kind of task vector: pushed, used, and rebuilt from their recipes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from huggingface_hub import ModelCard
from mergekit.options import MergeOptions
from transformers import AutoModelForCausalLM

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.publications import open_run
from mergekit_cycleqd.hub.rebuild import PublishedRecipe, rebuild
from tests.support.architectures import DECODERS
from tests.support.families import COLOURS, make_adapter, save_versions
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import make_run, over, push, put_on_hub

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")
hub = server.hub


@pytest.fixture(
    params=[
        "adapters",
        "singular adapters",
        "both adapters",
        "fitted adapters",
        "qwen2 moe",
        "mixtral",
    ]
)
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def run(kind: str, family: Family, hub: Hub, tmp_path: Path) -> Path:
    """A finished run over models that are on the Hub."""
    if "adapters" in kind:
        adapters = (make_adapter(family.base_model, tmp_path / c, k) for k, c in enumerate("ab"))
        experts = [f"{family.base_model}+{adapter}" for adapter in adapters]
        family = replace(family, experts=(*experts, family.experts[2]))
    else:
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(DECODERS[kind]())
        family = save_versions(model, tmp_path, COLOURS)
    made = make_run(tmp_path / "made", family, CHANGES.get(kind.split()[0], plain))
    return over(made, put_on_hub(hub, family))


def singular(content: dict[str, Any]) -> None:
    content["evolution"]["task_vectors"] = {"kind": "tsv"}


def both(content: dict[str, Any]) -> None:
    content["evolution"] |= {"task_vectors": {"kind": "both"}, "founders": [0.5, 1.0]}


def fitted(content: dict[str, Any]) -> None:
    fit = {"kind": "fit", "over": ["plain", "wudi"], "steps": 4, "batch": 6}
    content["evolution"] |= {"founders": [fit]}


def plain(content: dict[str, Any]) -> None:
    """Nothing is said."""


CHANGES = {"singular": singular, "both": both, "fitted": fitted}


def test_it_is_published_used_and_rebuilt_byte_for_byte(
    run: Path, kind: str, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert push(run, "--what", "aggregate,recipes,journal") == 0, capsys.readouterr().err
    pushed = hub.content("me/tiny-aggregate")
    data = ModelCard(pushed["README.md"].decode()).data
    commits = {name: hub.repo(name).find("main").oid for name in data.base_model}
    recipe = pushed["mergekit_config.yml"].decode()
    assert all(f"{name}@{commit}" in recipe for name, commit in commits.items())
    assert len(commits) == 4 and ("lab/base+" not in recipe)
    together = open_run(run).search.aggregate()
    of_run = together.family.task_vectors.number
    tsv = of_run if "both" in kind else 1 / 3 if "singular" in kind else 0
    assert ("task singular vectors" in pushed["README.md"].decode()) == bool(tsv)
    of_all = hub.content("me/tiny-recipes")["README.md"].decode()
    assert ("many merge of each expert are its task singular" in of_all) == ("both" in kind)
    if "adapters" in kind:
        assert f"lab/base@{commits['lab/base']}+lab/a@{commits['lab/a']}" in recipe
    loaded, told = AutoModelForCausalLM.from_pretrained(
        "me/tiny-aggregate", output_loading_info=True
    )
    assert not any(told.values()) and loaded.config.vocab_size == 63
    for number, name in enumerate(("aggregate", "recipes")):
        said: list[str] = []
        out = tmp_path / f"rebuilt{number}"
        source = PublishedRecipe(f"me/tiny-{name}", None, "mergekit_config.yml")
        rebuild(source, out, MergeOptions(quiet=True), said.append)
        assert (out / "model.safetensors").read_bytes() == pushed["model.safetensors"]
    published = Genome.from_mergekit(yaml.safe_load(recipe))
    assert published.weights == together.weights and published.groups == together.groups
    if kind.startswith("fitted"):
        assert "; founders: [kind fit, groups tensor, over ['plain', 'wudi'], steps 4" in of_all
        assert "0-23, the first half for fits" in of_all
        assert open_run(run).search.elites("red") and any(
            elite.genome.groups for c in COLOURS for elite in open_run(run).search.elites(c)
        )
    assert published.family.task_vectors.number == together.family.task_vectors.number == tsv
    before = len(hub.calls("POST", "/commit/"))
    assert push(run, "--what", "aggregate,recipes,journal") == 0, capsys.readouterr().err
    assert len(hub.calls("POST", "/commit/")) == before
