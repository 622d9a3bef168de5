from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from safetensors.torch import load_file

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.mergekit_config import EXPERT_PARAMETERS, SHARED_PARAMETERS
from mergekit_cycleqd.genome.operators import mutate
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.mergekit_plugin.method import CycleQDMerge
from mergekit_cycleqd.mergekit_plugin.recipe_keys import unread_keys
from tests.support.runs import run_main


def write_recipe(genome: Genome, path: Path, **change: object) -> Path:
    path.write_text(yaml.safe_dump(yaml.safe_load(genome.to_yaml()) | change))
    return path


@pytest.mark.parametrize("first", ["mergekit_cycleqd", "mergekit.merge_methods"])
def test_importing_both_packages_in_any_order_registers_the_method_once(first: str) -> None:
    code = (
        f"import {first}, mergekit_cycleqd, mergekit.merge_methods as methods\n"
        "import mergekit_cycleqd.mergekit_plugin.method\n"
        "from mergekit.merge_methods.registry import registered_methods\n"
        "assert methods.get('cycleqd').spec.name == 'cycleqd'\n"
        "assert [m.spec.name for m in registered_methods()].count('cycleqd') == 1\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True)


def test_the_command_takes_options_of_mergekit(family: Family, tmp_path: Path) -> None:
    genome = mutate(Genome.uniform(family), Term(0, 7, 0.3))
    recipe = write_recipe(genome, tmp_path / "model.yaml")
    assert run_main("merge", recipe, tmp_path / "out", "--quiet", "--out-shard-size", "5K") == 0
    assert len(list((tmp_path / "out").glob("model-*.safetensors"))) > 1
    assert (tmp_path / "out" / "mergekit_config.yml").read_text() == recipe.read_text()
    assert (tmp_path / "out" / "tokenizer.json").exists()


def test_a_model_recipe_can_be_given_without_naming_the_command(
    family: Family, tmp_path: Path
) -> None:
    recipe = write_recipe(Genome.uniform(family), tmp_path / "model.yaml")
    assert run_main(recipe, "--out", tmp_path / "out") == 0
    assert (tmp_path / "out" / "model.safetensors").exists()


def test_weights_take_filters_and_gradients(family: Family, tmp_path: Path) -> None:
    content = Genome.from_base(family).to_recipe()
    content["models"][0]["parameters"]["weight"] = [
        {"filter": "mlp", "value": [1.0, 0.0]},
        {"value": 0.0},
    ]
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(content))
    assert run_main("merge", path, tmp_path / "out", "--quiet") == 0
    base = load_file(Path(family.base_model) / "model.safetensors")
    expert = load_file(Path(family.experts[0]) / "model.safetensors")
    merged = load_file(tmp_path / "out" / "model.safetensors")
    name = "model.layers.{}.mlp.up_proj.weight"
    assert (merged[name.format(0)] - expert[name.format(0)]).abs().max() < 1e-6
    assert (merged[name.format(1)] - base[name.format(1)]).abs().max() == 0
    attention = "model.layers.0.self_attn.q_proj.weight"
    assert (merged[attention] - base[attention]).abs().max() == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merge_method": "cycleqt"}, "no method 'cycleqt'; did you mean 'cycleqd'?"),
        ({"models": None}, "Exactly one of"),
        ({"parameters": {"rank": 2, "energy": 0.5}}, "give rank or energy, not both, got rank 2"),
        ({"parameters": {"noise": "1:x"}}, "words seed:scale such as 81723:0.15, got '1:x'"),
    ],
)
def test_a_bad_model_recipe_is_one_clear_line(
    change: dict[str, object],
    message: str,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    path = write_recipe(Genome.uniform(family), tmp_path / "model.yaml", **change)
    assert run_main("merge", path, tmp_path / "out", "--quiet") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert str(path) in line and message in line
    assert sorted(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("place", "key", "value", "message"),
    [
        (("models", 0, "parameters"), "mutaton", "5:0.3", "did you mean 'mutation'?"),
        (("models", 1, "parameters"), "rank", 5, "must stand under `parameters` of the whole"),
        (("models", 0), "parameter", {}, "did you mean 'parameters'?"),
        (("parameters",), "ranks", 5, "did you mean 'rank'?"),
        ((), "out_dtypes", "float16", "did you mean 'out_dtype'?"),
    ],
)
def test_a_key_that_nothing_reads_is_refused_with_the_nearest_one(
    place: tuple[Any, ...],
    key: str,
    value: object,
    message: str,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    content = Genome.uniform(family).to_recipe()
    part: Any = content
    for step in place:
        part = part[step]
    part[key] = value
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(content))
    named = "".join(f"[{x}]" if isinstance(x, int) else f".{x}" for x in (*place, key))[1:]
    assert run_main("merge", path, tmp_path / "out", "--quiet") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert f"{path}: {named}: " in line and message in line
    assert not (tmp_path / "out").exists()
    with pytest.raises(GenomeError, match=re.escape(f"{named}: a genome cannot hold it; ")):
        Genome.from_mergekit(content)


def test_keys_of_slices_and_modules_are_checked_too() -> None:
    source = {"model": "a", "layer_range": [0, 1], "parameters": {"weigth": 1}}
    inner = {"slices": [{"sources": [source], "parameters": {"rank": 1, "weight": 1}}]}
    recipe = {"merge_method": "cycleqd", "base_model": "b", "modules": {"text": inner}}
    assert list(unread_keys(recipe)) == [
        "modules.text.slices[0].sources[0].parameters.weigth: is not read; did you mean 'weight'?"
    ]


def test_keys_of_the_tokenizer_are_checked_too() -> None:
    recipe = Genome(Family("b", ("a",)), (1.0,)).to_recipe() | {"tokenizer": {"sourse": "base"}}
    assert list(unread_keys(recipe)) == ["tokenizer.sourse: is not read; did you mean 'source'?"]


def test_the_names_that_recipes_may_have_are_those_that_the_method_reads() -> None:
    assert {p.name for p in CycleQDMerge.spec.parameters} == {
        *SHARED_PARAMETERS,
        *EXPERT_PARAMETERS,
    }


def test_a_folder_that_is_taken_is_left_alone(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_recipe(Genome.uniform(family), tmp_path / "model.yaml")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    assert run_main("merge", path, tmp_path / "out") == 2
    assert "must be a new or an empty folder" in capsys.readouterr().err
    assert [file.name for file in (tmp_path / "out").iterdir()] == ["mine.txt"]


def test_a_merge_killed_half_way_leaves_no_model(family: Family, tmp_path: Path) -> None:
    path = write_recipe(Genome.uniform(family), tmp_path / "model.yaml")
    code = (
        "import os, signal, sys, mergekit.merge as merge\n"
        "merge._copy_tokenizer = lambda *a, **k: os.kill(os.getpid(), signal.SIGKILL)\n"
        "from mergekit_cycleqd.cli.main import main; main()"
    )
    command = [sys.executable, "-c", code, "merge", str(path), str(tmp_path / "out")]
    killed = subprocess.run(command, env=dict(os.environ), capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert run_main("merge", path, tmp_path / "out", "--quiet") == 0
    assert not list(tmp_path.glob(".*"))
