"""Merging a stranger's recipe reads models of the Hub, and what the user maps; nothing else."""

from __future__ import annotations

import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import CommitOperationAdd

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.genome.family import Family
from tests.support.hub import server
from tests.support.hub.server import Hub
from tests.support.published_runs import put_on_hub

hub = server.hub


@pytest.fixture
def recipe(family: Family, hub: Hub) -> dict[str, Any]:
    there = put_on_hub(hub, family)
    models = [{"model": model, "parameters": {"weight": 0.5}} for model in there.experts[:2]]
    return {
        "merge_method": "task_arithmetic",
        "base_model": there.base_model,
        "models": models,
        "dtype": "float32",
    }


def merge(hub: Hub, content: Any, out: Path, *options: object) -> int:
    text = yaml.safe_dump(content, sort_keys=False).encode()
    hub.api().create_repo("lab/evil", exist_ok=True)
    hub.api().create_commit(
        "lab/evil", [CommitOperationAdd("mergekit_config.yml", text)], commit_message="x"
    )
    with pytest.raises(SystemExit) as exit:
        main(["merge", "hf://lab/evil", str(out), "--quiet", *map(str, options)])
    return int(exit.value.code or 0)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"base_model": "{local}"}, "{local}"),
        ({"base_model": "../../elsewhere"}, "../../elsewhere"),
        ({"base_model": {"model": {"path": "{local}"}}}, "{local}"),
        ({"base_model": "lab/base+{local}"}, "{local}"),
        ({"models": [{"model": "~/secret", "parameters": {"weight": 1}}]}, "~/secret"),
        ({"tokenizer_source": "/etc/passwd"}, "/etc/passwd"),
        ({"tokenizer_source": {"model": "/etc/passwd"}}, "/etc/passwd"),
        ({"tokenizer": {"source": "/etc/passwd"}}, "/etc/passwd"),
        ({"tokenizer": {"source": "base", "tokens": {"a": {"source": "/etc"}}}}, "/etc"),
        (
            {"tokenizer": {"tokens": {"a": {"source": {"kind": "model_token", "model": "/etc"}}}}},
            "/etc",
        ),
    ],
)
def test_a_path_of_this_machine_is_refused_in_one_line(
    change: dict[str, Any],
    named: str,
    recipe: dict[str, Any],
    family: Family,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = yaml.safe_dump(change).replace("{local}", family.base_model)
    named = named.replace("{local}", family.base_model)
    assert merge(hub, recipe | yaml.safe_load(text), tmp_path / "out") == 2
    (line,) = [e for e in capsys.readouterr().err.splitlines() if e.startswith("error")]
    assert line == (
        f"error: lab/evil: the recipe needs {named}, which its publisher did not put on the Hub; "
        f"get it from them, and say where it is: --path {shlex.quote(named + '=FOLDER')}"
    )
    assert not (tmp_path / "out").exists()


def test_templates_and_folders_with_the_name_of_a_model_are_refused(
    recipe: dict[str, Any],
    family: Family,
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert merge(hub, recipe | {"chat_template": "../../x"}, tmp_path / "out") == 2
    assert "chat_template: may name no file, got '../../x'" in capsys.readouterr().err
    monkeypatch.chdir(tmp_path)
    shutil.copytree(family.base_model, tmp_path / recipe["base_model"])
    assert merge(hub, recipe, tmp_path / "out") == 2
    assert "on the Hub, but a folder here has that name" in capsys.readouterr().err


def test_the_user_maps_what_the_publisher_did_not_share(
    recipe: dict[str, Any],
    family: Family,
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recipe = recipe | {"base_model": "./base", "tokenizer_source": "./base"}
    mapped = ("--path", f"./base={family.base_model}")
    assert merge(hub, recipe, tmp_path / "out", *mapped) == 0, capsys.readouterr().err
    assert (tmp_path / "out" / "model.safetensors").exists()
    for options, message in (
        ((*mapped, "--path", "x=/tmp"), "--path x: the recipe of lab/evil names no such model"),
        (("--path", "./base=no"), "--path ./base: no such folder 'no'"),
    ):
        assert merge(hub, recipe, tmp_path / "other", *options) == 2
        assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (
            {
                "models": None,
                "slices": [{"sources": [{"model": "{red}", "layer_range": [0, 10**9]}]}],
            },
            "slices: layers must be at most 10000, got 1e+09",
        ),
        ({"models": [{"model": "{red}"}] * 1001}, "models: must be at most 1000, got 1e+03"),
        (
            {"tokenizer": {"source": "base", "pad_to_multiple_of": 10**12}},
            "tokenizer.pad_to_multiple_of: must be at most 65536, got 1e+12",
        ),
        ({"base_model": "lab/base@refs/pr/1"}, "lab/base@refs/pr/1: is a proposal to that repo"),
    ],
)
def test_what_no_memory_holds_and_what_anybody_may_propose_is_refused(
    change: dict[str, Any],
    told: str,
    recipe: dict[str, Any],
    hub: Hub,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    text = yaml.safe_dump(change).replace("{red}", recipe["models"][0]["model"])
    assert merge(hub, recipe | yaml.safe_load(text), tmp_path / "out") == 2
    errors = capsys.readouterr().err
    assert "error: lab/evil" in errors and told in errors


def test_a_recipe_of_gigabytes_is_not_read(
    recipe: dict[str, Any],
    hub: Hub,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("mergekit_cycleqd.hub.rebuild._MOST_BYTES", 64)
    assert merge(hub, recipe, tmp_path / "out") == 2
    assert "error: lab/evil: 'mergekit_config.yml' must have at most" in capsys.readouterr().err
