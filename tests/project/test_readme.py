"""The README says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

import mergekit_cycleqd
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.evolution import Crossover, Evolution, Sampling, SvdMutation
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import Expert, Samples, Task
from mergekit_cycleqd.recipe.workers import Workers

README = (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8")


def block(language: str, containing: str) -> str:
    blocks = re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)
    (found,) = [text for text in blocks if containing in text]
    return str(found)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.yaml"
    path.write_text(block("yaml", "experts:"))
    return path


def test_the_recipe_of_a_run_is_valid_and_has_every_key(recipe: Path) -> None:
    load_recipe(recipe)
    sections = [Recipe, Expert, Task, Samples, Engine, Workers]
    sections += [Evolution, Crossover, SvdMutation, Sampling]
    for section in sections:
        for key in section.model_fields:
            assert re.search(rf"\b{key}:", recipe.read_text()), f"{section.__name__}.{key}"


def test_what_it_calls_defaults_are_the_defaults(recipe: Path) -> None:
    stated = load_recipe(recipe)
    assert stated.evolution == Evolution()
    assert stated.engine == Engine()
    assert stated.workers == Workers()


def test_the_lines_of_python_run_in_a_notebook(
    recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = recipe.read_text().replace(
        "{name: db", "{name: os, task: t, metric: m, samples: {search: 0-9}}\n- {name: db"
    )
    text = text.replace("task: db}", "task: db}\n- {model: org/expert-os, task: os}")
    recipe.write_text(text)
    monkeypatch.chdir(recipe.parent)
    *lines, last = block("python", "search.ask()").strip().splitlines()
    names: dict[str, object] = {}
    exec("\n".join(lines), names)
    assert "merge_method: cycleqd" in eval(last, names)


def test_the_recipe_of_a_model_is_one() -> None:
    genome = Genome.from_mergekit(yaml.safe_load(block("yaml", "merge_method: cycleqd")))
    assert [term.seed for term in genome.terms] == [991, 81723]


def test_the_public_names_are_there() -> None:
    for name in mergekit_cycleqd.__all__:
        assert getattr(mergekit_cycleqd, name).__doc__
