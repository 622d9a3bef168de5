"""Broken recipes: one clear line each, exit code 2, nothing written, no traceback."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.recipe.evolution import (
    Crossover,
    Evolution,
    IsoLine,
    SvdMutation,
)
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.task_vectors import PlainTaskVectors, SeveralTaskVectors
from tests.support.recipes import RecipeMaker

Change = Callable[[dict[str, Any]], object]


def put(*path: str | int, value: Any) -> Change:
    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place.setdefault(key, {}) if isinstance(key, str) else place[key]
        place[path[-1]] = value

    return change


def drop(*path: str | int) -> Change:
    def change(content: dict[str, Any]) -> None:
        place: Any = content
        for key in path[:-1]:
            place = place[key]
        del place[path[-1]]

    return change


BROKEN: dict[str, tuple[Change, str]] = {
    "unknown key": (
        put("evolution", "crosover", value={}),
        "evolution.crosover: unknown key; did you mean 'crossover'?",
    ),
    "vocabulary of a union": (
        put("tokenizer", value={"source": "union"}),
        "tokenizer.source: must be base, whose tokenizer a run evaluates all models with, got "
        "'union'",
    ),
    "vocabulary without a source": (put("tokenizer", value={}), "tokenizer.source: is required"),
    "vocabulary with tokens": (
        put("tokenizer", value={"source": "base", "tokens": {}}),
        "tokenizer.tokens: unknown key; known: source, pad_to_multiple_of",
    ),
    "padding to none": (
        put("tokenizer", value={"source": "base", "pad_to_multiple_of": 0}),
        "tokenizer.pad_to_multiple_of: must be greater than or equal to 1, got 0",
    ),
    "vocabulary of images": (
        lambda content: content.update(engine={"kind": "vision"}, tokenizer={"source": "base"}),
        "tokenizer: is for language models; engine.kind vision has no tokens",
    ),
    "mergekit's older key": (
        put("tokenizer_source", value="base"),
        "tokenizer_source: unknown key; did you mean 'tokenizer'?",
    ),
    "unknown key at the top": (put("task", value=1), "task: unknown key; did you mean 'tasks'?"),
    "unknown key of a mutation": (
        put("evolution", "mutation", value={"max_scal": 1}),
        "evolution.mutation.max_scal: unknown key; did you mean 'max_scale'?",
    ),
    "wrong type": (
        put("evolution", "children", value="many"),
        "evolution.children: must be a whole number, got 'many'",
    ),
    "number out of range": (
        put("evolution", "mutation", value={"max_scale": -1}),
        "evolution.mutation.max_scale: must be greater than 0, got -1",
    ),
    "rank and energy": (
        put("evolution", "mutation", value={"rank": 64, "energy": 0.9}),
        "evolution.mutation: give rank or energy, not both, got rank 64 and energy 0.9",
    ),
    "energy above one": (
        put("evolution", "mutation", value={"energy": 95}),
        "evolution.mutation.energy: must be less than or equal to 1, got 95",
    ),
    "unknown key of a crossover": (
        put("evolution", "crossover", value={"meen": 1.0}),
        "evolution.crossover.meen: unknown key; did you mean 'mean'?",
    ),
    "key of another crossover": (
        put("evolution", "crossover", value={"kind": "iso_line", "std": 0.1}),
        "evolution.crossover.std: unknown key; known: kind, iso, line",
    ),
    "unknown preset": (
        put("evolution", "preset", value="bset"),
        "evolution.preset: must be 'paper', 'released' or 'best', got 'bset'",
    ),
    "a preset that is no word": (
        put("evolution", "preset", value=[]),
        "evolution.preset: must be 'paper', 'released' or 'best', got []",
    ),
    "a section where a preset has a list": (
        put("evolution", value={"preset": "best", "founders": {}}),
        "evolution.founders: must be a list, got {}",
    ),
    "screening nothing": (
        put("evolution", "screen", value=0),
        "evolution.screen: must be greater than or equal to 1, got 0",
    ),
    "a founder that is no number": (
        put("evolution", "founders", value=[0.3, "x"]),
        "evolution.founders[1]: must be a number, got",
    ),
    "unknown kind of crossover": (
        put("evolution", "crossover", value={"kind": "line"}),
        "evolution.crossover: kind must be one of 'normal', 'iso_line', got 'line'",
    ),
    "recombining one elite": (
        put("evolution", "aggregation", value={"kind": "recombination", "elites": 1}),
        "evolution.aggregation.elites: must be greater than or equal to 2, got 1",
    ),
    "key of another aggregation": (
        put("evolution", "aggregation", value={"kind": "best", "elites": 4}),
        "evolution.aggregation.elites: unknown key; known: kind",
    ),
    "unknown kind of aggregation": (
        put("evolution", "aggregation", value={"kind": "mean"}),
        "evolution.aggregation: kind must be one of 'best', 'recombination', got 'mean'",
    ),
    "unknown kind": (
        put("evolution", "mutation", value={"kind": "svdd"}),
        "evolution.mutation: kind must be one of 'svd', 'gaussian', 'none', got 'svdd'",
    ),
    "missing key": (drop("tasks", 1, "metric"), "tasks[1].metric: is required"),
    "missing base": (drop("base_model"), "base_model: is required"),
    "expert of an unknown task": (
        put("experts", 0, "task", value="rd"),
        "experts[0].task: no task is named 'rd'; did you mean 'red'?",
    ),
    "its own task as a measure": (
        put("tasks", 1, "measures", value=[{"task": "green"}]),
        "tasks[1].measures[0].task: 'green' is the archive's own task, its quality",
    ),
    "a measure of an unknown task": (
        put("tasks", 1, "measures", value=["weights", {"task": "rd"}]),
        "tasks[1].measures[1].task: no task is named 'rd'; did you mean 'red'?",
    ),
    "its own metric as a measure": (
        put("tasks", 0, "measures", value=["acc,none"]),
        "tasks[0].measures[0].metric: 'acc,none' is the quality of this archive already",
    ),
    "a task named as a metric": (
        put("tasks", 0, "measures", value=["green"]),
        "tasks[0].measures[0]: 'green' is a task; write {task: green}",
    ),
    "a measure of nothing": (
        put("tasks", 0, "measures", value=[{"bins": 3}]),
        "tasks[0].measures[0]: needs one of of, task and metric, got none",
    ),
    "other tasks where there is one": (
        lambda content: (
            drop("tasks", slice(1, 3))(content),
            drop("experts", slice(1, 3))(content),
            put("tasks", 0, "measures", value=["tasks"])(content),
        ),
        "tasks[0].measures[0]: there is no other task; take weights, or a metric of this task",
    ),
    "one model twice": (
        lambda content: put("experts", 1, "model", value=content["base_model"])(content),
        "is base_model already",
    ),
    "no task": (
        lambda content: (
            drop("tasks", slice(0, 3))(content),
            [drop("experts", k, "task")(content) for k in range(3)],
        ),
        "tasks: needs one or more, got 0",
    ),
    "no expert": (drop("experts", slice(0, 3)), "experts: needs one or more, got 0"),
    "a task twice": (put("tasks", 1, "name", value="red"), "tasks[1].name: 'red' stands twice"),
    "unsafe name": (
        put("tasks", 0, "name", value="../red"),
        "tasks[0].name: must match pattern",
    ),
    "unknown quality": (
        put("evolution", "quality", value="gren"),
        "evolution.quality: must be cyclic or a task's name, got 'gren'; did you mean 'green'?",
    ),
    "overlapping samples": (
        put("tasks", 0, "samples", value={"search": "0-23", "holdout": "20-"}),
        "tasks[0].samples: search (0-23) and holdout (20-) must be disjoint, but both hold "
        "sample 20",
    ),
    "backward samples": (
        put("tasks", 0, "samples", "search", value="9-3"),
        "tasks[0].samples.search: is empty: 9-3 runs backwards",
    ),
    "empty range": (
        put("tasks", 0, "range", value=[0.5, 0.5]),
        "tasks[0].range: is empty: 0.5 is not below 0.5",
    ),
    "bad range": (
        put("tasks", 0, "range", value="wide"),
        "tasks[0].range: must be auto or [lowest, highest], got 'wide'",
    ),
    "too many cells": (
        lambda content: (
            [put("tasks", i, "bins", value=1000)(content) for i in range(3)]
            and put("tasks", 0, "bins", value=1001)(content)
        ),
        "tasks[0].bins: must be less than or equal to 1000, got 1001",
    ),
}

# What shows only when models and tasks are looked at.
UNFIT: dict[str, tuple[Change, str]] = {
    "samples beyond the task": (
        put("tasks", 2, "samples", "holdout", value="30-99"),
        "tasks[2].samples.holdout: reaches beyond the task's 40 documents (ids 0-39), got 30-99",
    ),
    "unreachable model": (
        put("experts", 1, "model", value="/no/such/folder"),
        "experts[1].model: needs a model folder or a Hub id org/name, got '/no/such/folder'",
    ),
    "unknown task": (
        put("tasks", 0, "task", value="tiny_rde"),
        "tasks[0].task: lm-eval knows no task 'tiny_rde'; did you mean tiny_red",
    ),
    "unknown metric": (
        put("tasks", 1, "metric", value="acc_norm,none"),
        "tasks[1].metric: the task 'tiny_green' does not report 'acc_norm,none'; "
        "it reports acc,none",
    ),
    "gen_kwargs of a task that does not generate": (
        put("tasks", 0, "gen_kwargs", value={"max_gen_toks": 3}),
        "tasks[0].gen_kwargs: the task 'tiny_red' does not generate text",
    ),
    "unknown device": (
        put("engine", "device", value="gpu"),
        "engine.device: cannot use 'gpu' here (Expected one of cpu, cuda",
    ),
    "no such include_path": (
        put("tasks", 0, "include_path", value="/no/such"),
        "tasks[0].include_path: no folder '/no/such'",
    ),
}


def lines_of(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> list[str]:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SystemExit) as exit:
        main([str(path), "--out", str(tmp_path / "run")])
    assert exit.value.code == 2
    assert sorted(tmp_path.rglob("*")) == before
    captured = capsys.readouterr()
    assert "Traceback" not in captured.err
    return [line for line in captured.err.splitlines() if line.startswith("error: ")]


def test_a_preset_sets_defaults_and_the_keys_beside_it_count_more(
    make_named_recipe: RecipeMaker,
) -> None:
    def evolution(**given: Any) -> Evolution:
        return load_recipe(make_named_recipe(put("evolution", value=given))).evolution

    assert evolution(preset="paper", seed=3) == Evolution(seed=3)
    assert evolution(preset="released").sampling.kind == "random"
    best = evolution(preset="best", crossover={"line": 0.7}, screen=4)
    assert best.crossover == IsoLine(kind="iso_line", line=0.7)
    assert (best.screen, best.mutation.kind, len(best.founders)) == (4, "none", 4)
    assert best.task_vectors == SeveralTaskVectors(kinds=("plain", "wudi"))
    stronger = evolution(preset="best", task_vectors={"lambda": 0.2}).task_vectors
    assert stronger == SeveralTaskVectors(kinds=("plain", "wudi"), **{"lambda": 0.2})
    plain = evolution(preset="best", task_vectors={"kind": "plain"}, founders=[])
    assert plain.task_vectors == PlainTaskVectors()
    assert evolution(preset="best", aggregation={"elites": 4}).aggregation.kind == "recombination"
    assert evolution(preset="best", mutation={"kind": "svd"}).mutation == SvdMutation()
    assert evolution(preset="best", crossover={"kind": "normal"}).crossover == Crossover()


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_recipe_is_one_clear_line(
    name: str, make_named_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = BROKEN[name]
    path = make_named_recipe(change)
    lines = lines_of(path, tmp_path, capsys)
    assert any(line.startswith(f"error: {path}: ") and message in line for line in lines), lines
    many = {"unknown key of a mutation", "one model twice"}
    if name not in many | {"vocabulary of images"}:
        assert len(lines) <= 2, lines


@pytest.mark.parametrize("name", UNFIT)
def test_a_recipe_that_does_not_fit_its_models_and_tasks_is_one_clear_line(
    name: str, make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    change, message = UNFIT[name]
    path = make_recipe(change)
    lines = lines_of(path, tmp_path, capsys)
    assert any(line.startswith(f"error: {path}: ") and message in line for line in lines), lines
    assert len(lines) <= 2, lines


def test_all_faults_are_reported_together(
    make_named_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["evolution"]["children"] = -1
        content["tasks"][0]["bins"] = 0
        content["experts"][1]["modle"] = "x"

    lines = lines_of(make_named_recipe(change), tmp_path, capsys)
    assert len(lines) == 3


def test_all_faults_of_one_task_are_reported_together(
    make_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        content["tasks"][1]["metric"] = "acc_norm,none"
        content["tasks"][1]["samples"] = {"search": "0-9999", "holdout": "10000-"}

    path = make_recipe(change)
    lines = lines_of(path, tmp_path, capsys)
    for line, key in zip(lines, ("metric", "samples.search", "samples.holdout"), strict=True):
        assert line.startswith(f"error: {path}: tasks[1].{key}: ")


def test_bad_experts_are_told_and_nothing_that_follows_from_them(
    make_named_recipe: RecipeMaker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        for expert in content["experts"]:
            del expert["model"]

    path = make_named_recipe(change)
    assert lines_of(path, tmp_path, capsys) == [
        f"error: {path}: experts[{k}].model: is required" for k in range(3)
    ]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "is not YAML"),
        ("a: 1\na: 2\n", "the key 'a' stands twice"),
        ("- 1\n", "must hold keys such as base_model"),
        ("", "must hold keys such as base_model"),
        ("a: !!python/object/apply:os.system ['true']\n", "is not YAML"),
    ],
)
def test_what_is_no_recipe_at_all_is_one_clear_line(
    text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    (line,) = lines_of(path, tmp_path, capsys)
    assert message in line


def test_a_missing_file_is_one_clear_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (line,) = lines_of(tmp_path / "none.yaml", tmp_path, capsys)
    assert line == f"error: {tmp_path / 'none.yaml'}: no such file"


def altered(expert: str, folder: Path, what: str) -> Path:
    shutil.copytree(expert, folder)
    tensors = load_file(folder / "model.safetensors")
    config = json.loads((folder / "config.json").read_text())
    if what == "architecture":
        config |= {"architectures": ["MistralForCausalLM"], "model_type": "mistral"}
    elif what == "shape":
        tensors["model.norm.weight"] = torch.ones(33)
    elif what == "missing tensor":
        del tensors["model.norm.weight"]
    elif what == "further tensor":
        tensors["model.other.weight"] = torch.ones(3)
    elif what == "no weights":
        (folder / "model.safetensors").unlink()
    elif what == "torn weights":
        (folder / "model.safetensors").write_bytes(b"torn")
    (folder / "config.json").write_text(json.dumps(config))
    if what not in ("no weights", "torn weights"):
        save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})
    return folder


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("architecture", "must have the base's model_type llama, got mistral"),
        ("shape", "must have the base's shapes, got model.norm.weight [33] against [32]"),
        ("missing tensor", "lacks model.norm.weight of the base"),
        ("further tensor", "has model.other.weight that the base"),
        ("no weights", "needs model.safetensors or model.safetensors.index.json"),
        ("torn weights", "cannot read model.safetensors"),
    ],
)
def test_an_expert_of_another_family_is_refused_before_any_model_is_loaded(
    what: str,
    message: str,
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", None)
    path = make_recipe(
        lambda content: put(
            "experts",
            1,
            "model",
            value=str(altered(content["experts"][1]["model"], tmp_path / "x", what)),
        )(content)
    )
    (line,) = lines_of(path, tmp_path, capsys)
    assert line.startswith(f"error: {path}: experts[1].model: ") and message in line


def test_files_that_options_name_are_found_beside_the_recipe_then_here(
    make_named_recipe: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = tmp_path / "shell"
    here.mkdir()
    monkeypatch.chdir(here)
    for place in (tmp_path / "one.jsonl", here / "one.jsonl", here / "ids.json"):
        place.touch()
    (tmp_path / "AgentBench").mkdir()
    options = {
        "data_files": ["one.jsonl", "absent.jsonl"],
        "task_ids": "ids.json",
        "agentbench_root": "AgentBench",
        "image": "one.jsonl",
        "repeats": 2,
    }
    mine = {"evaluator": "agentbench", "task": "agentbench_os", "metadata": options}

    def change(content: dict[str, Any]) -> None:
        content["tasks"][0].update(mine)
        del content["tasks"][0]["include_path"]

    found = load_recipe(make_named_recipe(change)).tasks[0].metadata
    assert found == options | {
        "data_files": [str(tmp_path / "one.jsonl"), "absent.jsonl"],
        "task_ids": str(here / "ids.json"),
        "agentbench_root": str(tmp_path / "AgentBench"),
    }


def test_folders_are_found_beside_the_recipe(
    make_named_recipe: RecipeMaker, tmp_path: Path
) -> None:
    (tmp_path / "near").mkdir()
    recipe = load_recipe(make_named_recipe(put("base_model", value="near")))
    assert recipe.base_model == str((tmp_path / "near").resolve())


def test_hub_ids_are_left_alone(make_named_recipe: RecipeMaker) -> None:
    recipe = load_recipe(
        make_named_recipe(put("base_model", value="meta-llama/Meta-Llama-3-8B-Instruct"))
    )
    assert recipe.base_model == "meta-llama/Meta-Llama-3-8B-Instruct"


@pytest.mark.parametrize("mutation", [{}, {"rank": 5}, {"energy": 0.9}], ids=str)
def test_a_recipe_means_the_same_after_it_was_written_out(
    mutation: dict[str, Any], make_named_recipe: RecipeMaker, tmp_path: Path
) -> None:
    recipe = load_recipe(make_named_recipe(put("evolution", "mutation", value=mutation)))
    assert recipe.family.rank == mutation.get("rank", 0)
    assert recipe.family.energy == mutation.get("energy", 0.0)
    again = tmp_path / "again.yaml"
    again.write_text(yaml.safe_dump(recipe.model_dump(mode="json", exclude_none=True)))
    assert load_recipe(again) == recipe


SHIPPED = [
    path
    for path in sorted((Path(__file__).parents[2] / "recipes").rglob("*.yaml"))
    if "experts" in yaml.load(path.read_text(), Loader=yaml.BaseLoader)
]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_every_shipped_recipe_is_read(path: Path) -> None:
    recipe = load_recipe(path)
    assert len(recipe.tasks) == len(recipe.experts)
