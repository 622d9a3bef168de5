"""A plan ticks what it compared, and names what it could not compare."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.genome.family import Family
from tests.support.families import COLOURS, adapted_family, make_family, save_versions
from tests.support.model_zoo import ZOO
from tests.support.plans import Plan, plan
from tests.support.recipes import TASKS, write_run_recipe
from tests.support.runs import run_main

# peft still uses names that transformers has replaced
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning")

Planner = Callable[..., Plan]


@pytest.fixture
def planned(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Planner:
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:1")
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:1")

    def of(family: Family, **content: Any) -> Plan:
        recipe = write_run_recipe(tmp_path / "r.yaml", family, lambda given: given.update(content))
        return plan(recipe, capsys, monkeypatch)

    return of


def test_what_an_adapter_changes_is_compared_and_what_it_shares_is_not_counted(
    planned: Planner, family: Family, tmp_path: Path
) -> None:
    found = planned(adapted_family(family, tmp_path))
    assert found.code == 0
    assert found.only("architecture") == (
        "✓",
        "LlamaForCausalLM: names and shapes of all 20 tensors agree in 1 expert; "
        "all tensors of 2 adapters fit the base's",
    )
    assert found.only("weights")[1].startswith("all 20 tensors finite; read in")
    assert found.only("download") == ("✓", "nothing: all models are folders here")


def test_an_adapter_of_tensors_that_the_base_lacks_is_a_fault_and_no_tick(
    planned: Planner, family: Family, tmp_path: Path
) -> None:
    adapted = adapted_family(family, tmp_path)
    file = tmp_path / "adapter1" / "adapter_model.safetensors"
    renamed = {key.replace("layers.1.", "layers.7."): t for key, t in load_file(file).items()}
    save_file(renamed, file)
    found = planned(adapted)
    assert found.code == 1
    mark, text = found.only("architecture")
    assert mark == "✗" and text.startswith("experts[0].model: the adapter's model.layers.7.")
    assert "needs a tensor of that name and shape in the model" in text


@pytest.mark.parametrize("reference", ["models/green", "{base}+adapters/green"])
def test_a_missing_folder_is_told_as_such_and_nothing_of_it_is_ticked(
    reference: str, planned: Planner, family: Family
) -> None:
    missing = reference.format(base=family.base_model)
    found = planned(replace(family, experts=(family.experts[0], missing, family.experts[2])))
    assert found.code == 1
    mark, text = found.only("models")
    folder = missing.rpartition("+")[2]
    assert mark == "✗" and text.startswith(
        f"experts[1].model: {folder}: there is no folder of that name beside the recipe or in the "
        "working directory, and the Hub cannot be asked: "
    )
    unseen = ("–", "not compared: experts[1].model")
    for part, seen in {
        "architecture": "all 20 tensors agree in 2 experts",
        "dtype": "merged models in float32",
        "tokenizers": "the same in 2 of 3 experts",
        "chat template": "none in the base and in 2 of 3 experts",
    }.items():
        (mark, ticked), other = found[part]
        assert mark == "✓" and seen in ticked and other == unseen, part
    assert found.only("download") == ("–", "not known of experts[1].model")
    assert found.only("memory") == ("–", "needs the base and all experts, of one family")


def test_a_missing_base_leaves_nothing_to_compare(planned: Planner, family: Family) -> None:
    found = planned(replace(family, base_model="models/base"))
    assert found.code == 1
    for part in ("architecture", "tokenizers", "download", "memory"):
        assert found.only(part)[0] == "–", part


def test_a_run_says_the_same_of_a_missing_folder(
    planned: Planner, family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    planned(replace(family, experts=(*family.experts[:2], "models/blue")))
    assert run_main(tmp_path / "r.yaml", "--out", tmp_path / "run") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert "experts[2].model: models/blue: there is no folder of that name" in line


def test_a_cluster_that_is_looked_for_later_is_not_ticked(planned: Planner, family: Family) -> None:
    pytest.importorskip("ray")
    found = planned(family, workers={"kind": "ray", "count": 2}, engine={"device": "cuda:99"})
    mark, text = found.only("workers")
    assert mark == "–" and "is looked for when the run begins" in text


@pytest.mark.costly
def test_a_plan_says_who_writes_the_merged_models(planned: Planner, tmp_path: Path) -> None:
    llama = make_family(tmp_path / "llama")
    assert planned(llama).only("merge") == ("✓", "mergekit merges all 20 tensors")
    cohere = save_versions(ZOO["Cohere"](), tmp_path / "cohere", COLOURS)
    assert planned(cohere).only("merge") == (
        "✓",
        "mergekit does not merge 4 of 18 tensors of CohereForCausalLM "
        "(model.layers.0.self_attn.q_norm.weight, model.layers.0.self_attn.k_norm.weight and 2 "
        "more); mergekit-cycleqd writes merged models itself",
    )


@pytest.mark.costly
def test_a_base_that_answers_no_texts_is_one_line_before_anything_is_loaded(
    planned: Planner, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    family = save_versions(ZOO["BERT, masked LM"](), tmp_path, COLOURS)
    found = planned(family)
    mark, text = found.only("class")
    assert found.code == 1 and mark == "✗"
    assert text.startswith(f"base_model: {family.base_model}: engine.kind: hf needs a model that ")
    assert "got BertForMaskedLM in config.json; take one whose class is known to" in text
    assert not found["weights"] and not found["child"]
    for command in ("run", tmp_path / "r.yaml"), ("eval", family.base_model, "--tasks", "tiny_red"):
        options = ["--include-path", TASKS] if command[0] == "eval" else ["--out", tmp_path / "o"]
        assert run_main(*command, *options) == 2
        last = capsys.readouterr().err.strip().splitlines()[-1]
        assert last.startswith("error: ") and "got BertForMaskedLM in config.json" in last


def test_the_class_that_loads_the_base_is_named(planned: Planner, family: Family) -> None:
    assert planned(family).only("class") == ("✓", "LlamaForCausalLM: answers texts")
