"""A configuration of mergekit-evolve becomes a recipe that says what is left to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from mergekit.evo.config import EvolMergeConfiguration, TaskConfiguration
from mergekit.evo.genome import ModelGenomeDefinition
from pydantic import ValidationError

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.recipe.from_mergekit_evolve import (
    EvolveFile,
    EvolveGenome,
    EvolveTask,
    convert,
)
from mergekit_cycleqd.recipe.load import load_recipe

PLAIN: dict[str, Any] = {
    "genome": {
        "models": ["org/coding", "org/db@v1", "org/base+org/adapter"],
        "merge_method": "task_arithmetic",
        "base_model": "org/base",
    },
    "tasks": [
        {"name": "coding_train", "metric": "exact_match,none"},
        "db_train",
        {"name": "os train", "weight": 0.5},
    ],
}
FULL: dict[str, Any] = {
    "genome": {
        "models": [
            "org/base",
            {"model": {"path": "org/coding", "revision": "v2"}},
            {"model": {"path": "org/base"}, "lora": {"path": "org/adapter"}},
        ],
        "merge_method": "dare_ties",
        "base_model": "org/base",
        "tokenizer_source": "union",
        "layer_granularity": 8,
        "normalize": False,
        "allow_negative_weights": True,
        "filters": ["self_attn", "mlp"],
        "smooth": True,
    },
    "tasks": ["a", "a"],
    "limit": 100,
    "num_fewshot": 5,
    "shuffle": True,
    "random_init": True,
    "apply_chat_template": False,
}


def changed(content: dict[str, Any], section: str | None = None, **keys: Any) -> dict[str, Any]:
    if section is None:
        return content | keys
    return content | {section: content[section] | keys}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "genome.yaml"


def recipe(content: dict[str, Any], file: Path) -> str:
    EvolMergeConfiguration.model_validate(content)  # what mergekit-evolve takes, this takes
    file.write_text(yaml.safe_dump(content, sort_keys=False))
    out = file.with_name("recipe.yaml")
    with pytest.raises(SystemExit) as exit:
        main(["import-evolve", str(file), "--out", str(out)])
    assert exit.value.code == 0
    text = out.read_text()
    assert all(len(line) <= 100 for line in text.splitlines())
    return text


def test_what_has_a_counterpart_is_carried_over(file: Path) -> None:
    file.write_text(recipe(PLAIN, file))
    found = load_recipe(file)
    assert found.base_model == "org/base"
    assert [expert.model for expert in found.experts] == PLAIN["genome"]["models"]
    assert [task.task for task in found.tasks] == ["coding_train", "db_train", "os train"]
    assert [task.metric for task in found.tasks] == ["exact_match,none", "acc,none", "acc,none"]
    assert all(str(task.samples.search) == "0-" for task in found.tasks)
    assert all(task.apply_chat_template and task.fewshot_as_multiturn for task in found.tasks)
    assert (found.evolution.preset, found.evolution.children) == ("best", 300)


def test_all_of_a_full_file_is_carried_over_or_named(file: Path) -> None:
    text = recipe(FULL, file)
    for key in ("layer_granularity 8", "normalize false", "filters self_attn, mlp", "smooth"):
        assert f"# - {key}" in text
    for key in ("tokenizer_source union", "shuffle", "random_init", "merge_method dare_ties"):
        assert f"# - {key}" in text
    assert "# - org/base among the models" in text
    file.write_text(text)
    found = load_recipe(file)
    assert [expert.model for expert in found.experts] == ["org/coding@v2", "org/base+org/adapter"]
    for task in found.tasks:
        assert (str(task.samples.search), str(task.samples.holdout)) == ("0-99", "100-")
        assert task.num_fewshot == 5
        assert not task.apply_chat_template


@pytest.mark.parametrize(
    ("form", "text"),
    [
        ({"model": "org/base", "lora": "org/adapter@v3"}, "org/base+org/adapter@v3"),
        ({"model": "org/os"}, "org/os"),
        ({"model": "org/os", "lora": None}, "org/os"),
        ({"model": "org/base", "lora": {"path": "org/b"}}, "org/base+org/b"),
        ({"model": {"path": "org/base"}, "lora": "org/b"}, "org/base+org/b"),
    ],
    ids=str,
)
def test_a_model_may_be_written_in_any_of_mergekits_forms(form: Any, text: str, file: Path) -> None:
    models = [{"model": "org/base"}, "org/coding", form]
    content = changed(PLAIN, "genome", models=models, base_model={"model": "org/base"})
    content["tasks"] = ["a", "b"]
    file.write_text(recipe(content, file))
    found = load_recipe(file)
    assert found.base_model == "org/base"
    assert [expert.model for expert in found.experts] == ["org/coding", text]


@pytest.mark.parametrize("tasks", [1, 2, 5])
@pytest.mark.parametrize("method", ["linear", "ties", "slerp"])
def test_any_number_of_models_and_tasks_is_a_recipe_that_can_be_read(
    tasks: int, method: str, file: Path
) -> None:
    models = ["org/base", "org/one"] if method == "slerp" else PLAIN["genome"]["models"]
    base = None if method == "linear" else "org/base"
    content = changed(PLAIN, "genome", merge_method=method, base_model=base, models=models)
    text = recipe(content | {"tasks": [f"task{i}" for i in range(tasks)]}, file)
    file.write_text(text)
    found = load_recipe(file)
    assert found.base_model == (base or models[0])
    assert [e.model for e in found.experts] == [m for m in models if m != found.base_model]
    assert all(expert.task is None for expert in found.experts)
    assert len(found.tasks) == tasks
    assert ("stands there" in text) == (method == "linear")
    assert ("one archive" in text) == (tasks == 1)


def test_a_base_alone_is_one_line(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(yaml.safe_dump(changed(PLAIN, "genome", models=["org/base"])))
    with pytest.raises(SystemExit) as exit:
        main(["import-evolve", str(file)])
    assert exit.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said == f"error: {file}: genome.models: needs a model beside 'org/base', got no other"


def test_keys_of_its_own_are_named(file: Path) -> None:
    text = recipe(changed(PLAIN, "genome", layer_granularity=0) | {"comment": "mine"}, file)
    assert "# - comment: no key that mergekit-evolve knows" in text


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (EvolveFile, EvolMergeConfiguration),
        (EvolveGenome, ModelGenomeDefinition),
        (EvolveTask, TaskConfiguration),
    ],
)
def test_its_keys_and_defaults_are_those_of_mergekit(ours: Any, theirs: Any) -> None:
    assert set(ours.model_fields) == set(theirs.model_fields)
    for name, field in theirs.model_fields.items():
        assert ours.model_fields[name].is_required() == field.is_required()
        if not field.is_required():
            assert ours.model_fields[name].default == field.default


def without(section: str, key: str) -> dict[str, Any]:
    return PLAIN | {section: {k: v for k, v in PLAIN[section].items() if k != key}}


BAD = {
    "genome.models: is required": without("genome", "models"),
    "genome.merge_method: is required": without("genome", "merge_method"),
    "genome.merge_method: must be": changed(PLAIN, "genome", merge_method="passthrough"),
    "genome.models[1]: must be": changed(PLAIN, "genome", models=["a", 3]),
    "genome.models[0]: must be": changed(PLAIN, "genome", models=[{"path": "a"}]),
    "tasks: is required": {"genome": PLAIN["genome"]},
    "tasks[0].name: is required": changed(PLAIN, tasks=[{"metric": "acc"}]),
    "tasks[0].weight: must be": changed(PLAIN, tasks=[{"name": "a", "weight": "much"}]),
    "limit: must be": changed(PLAIN, limit="all"),
    "needs a configuration of mergekit-evolve, with genome and tasks, got no genome": {"a": 1},
    "this is the recipe of a run": {"experts": []},
}


@pytest.mark.parametrize("line", BAD)
def test_a_bad_file_is_one_line(line: str, file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValidationError):
        EvolMergeConfiguration.model_validate(BAD[line])
    file.write_text(yaml.safe_dump(BAD[line]))
    with pytest.raises(SystemExit) as exit:
        main(["import-evolve", str(file)])
    assert exit.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"error: {file}: ") and line in said


@pytest.mark.parametrize(
    ("text", "line"),
    [("- a\n", "got no genome"), ("a: [", "is not YAML"), ("a: 1\na: 2\n", "stands twice")],
)
def test_what_is_no_mapping_is_one_line(
    text: str, line: str, file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text(text)
    with pytest.raises(SystemExit) as exit:
        main(["import-evolve", str(file)])
    assert exit.value.code == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert line in said


def test_no_file_is_overwritten(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(yaml.safe_dump(PLAIN))
    for out, line in ((file, "exists already"), (file / "x", "cannot be written")):
        with pytest.raises(SystemExit) as exit:
            main(["import-evolve", str(file), "--out", str(out)])
        assert exit.value.code == 2
        assert line in capsys.readouterr().err
    assert yaml.safe_load(file.read_text()) == PLAIN


def test_hostile_names_stay_text() -> None:
    name = "a: b # c\n- d"
    genome = {"models": [name, "org/b"], "merge_method": "ties", "base_model": "'\"{"}
    evolve = EvolveFile.model_validate({"genome": genome, "tasks": [name, "x"]})
    content = yaml.safe_load(convert(evolve, "f"))
    assert content["experts"][0]["model"] == name
    assert content["tasks"][0]["task"] == name
    assert content["base_model"] == "'\"{"


def test_no_name_of_a_file_makes_a_line_of_its_recipe() -> None:
    text = convert(EvolveFile.model_validate(PLAIN), "x.yaml\nengine: {trust_remote_code: true}")
    assert text.splitlines()[0].startswith("# Made from x.yaml\\x0aengine")
    assert "engine" not in yaml.safe_load(text)


def test_thousands_of_tasks_of_one_name_get_names_at_once() -> None:
    tasks = [f"{'a b' if i % 2 else 'a-b'}" for i in range(2_000)]
    names = [each["name"] for each in yaml.safe_load(_as_text(PLAIN | {"tasks": tasks}))["tasks"]]
    assert names[:3] == ["a-b", "a-b-2", "a-b-3"] and len(set(names)) == len(tasks)


def _as_text(content: dict[str, Any]) -> str:
    return convert(EvolveFile.model_validate(content), "x")
