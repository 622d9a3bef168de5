"""Every kind that a recipe or a command may name opens, and a key that it lacks is one clear line.

The cases come from the schema and from the tables, so that a new kind is covered once it is there.
"""

from __future__ import annotations

import dis
import importlib
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.cli.main import commands
from mergekit_cycleqd.engines import open as engines
from mergekit_cycleqd.engines.base import ModelEngine
from mergekit_cycleqd.errors import ModelError, RecipeError
from mergekit_cycleqd.evaluators import open as evaluators
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.recipe.engine import ENGINES, OF_EVERY_KIND, Engine
from mergekit_cycleqd.recipe.evolution import Evolution
from mergekit_cycleqd.recipe.load import parse_recipe
from mergekit_cycleqd.recipe.presets import PRESETS
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.tasks import EVALUATORS
from mergekit_cycleqd.recipe.workers import WORKERS
from mergekit_cycleqd.sandbox import open as sandbox
from mergekit_cycleqd.sandbox.base import Limits, SandboxError
from mergekit_cycleqd.tasks.box_task import BoxOptions
from mergekit_cycleqd.trackers import open as trackers
from mergekit_cycleqd.workers import open as workers
from tests.support.documents import ROOT

# ---- what opens a kind ----

IN_SCHEMA_AND_OPENED: dict[str, tuple[Mapping[str, Any], Mapping[str, Any]]] = {
    "engine.kind": (ENGINES, engines.OPENERS),
    "tasks.evaluator": (EVALUATORS, evaluators.OPENERS),
    "workers.kind": (WORKERS, workers.OPENERS),
}

LATE: dict[str, Callable[..., Any]] = {
    **{f"engine {name}": row.open for name, row in engines.OPENERS.items()},
    **{f"faults of engine {name}": row.faults for name, row in engines.OPENERS.items()},
    **{f"class for engine {name}": row.taken for name, row in engines.OPENERS.items()},
    **{f"evaluator {name}": row for name, row in evaluators.OPENERS.items()},
    **{f"workers {name}": row for name, row in workers.OPENERS.items()},
    **{f"tracker {name}": row.open for name, row in trackers.TRACKERS.items()},
    **{f"check of tracker {name}": row.check for name, row in trackers.TRACKERS.items()},
}
"""Functions that import what they open when they are called."""


@pytest.mark.parametrize("key", IN_SCHEMA_AND_OPENED)
def test_the_schema_and_what_opens_its_kinds_have_the_same_names(key: str) -> None:
    in_schema, opened = IN_SCHEMA_AND_OPENED[key]
    assert list(in_schema) == list(opened)


@pytest.mark.parametrize("name", LATE)
def test_what_a_kind_imports_late_is_there(name: str) -> None:
    module: ModuleType | None = None
    for step in dis.get_instructions(LATE[name]):
        if step.opname == "IMPORT_NAME":
            if step.argval.endswith("ray_cluster"):
                pytest.importorskip("ray")
            module = importlib.import_module(step.argval)
        elif step.opname == "IMPORT_FROM":
            assert module is not None and hasattr(module, step.argval)


@pytest.mark.parametrize("kind", ENGINES)
def test_every_engine_opens_or_says_why_not(kind: str, family: Family) -> None:
    engine = Engine(kind=kind, dtype="float32")
    assert all(re.match(r"engine\.\w+: ", fault) for fault in engines.engine_faults(engine))
    base, *experts = (Checkpoint.open(name) for name in (family.base_model, *family.experts))
    try:
        opened = engines.open_engine(engine, base, experts)
    except ModelError as error:  # models of another kind, or a library that is not installed
        lacking = getattr(error.__cause__, "name", None)
        assert not str(lacking).startswith("mergekit_cycleqd"), error
        assert len(str(error).splitlines()) == 1
    else:
        assert isinstance(opened, ModelEngine)
        opened.close()


@pytest.mark.parametrize("kind", EVALUATORS)
def test_every_evaluator_opens(kind: str) -> None:
    harness = evaluators.OPENERS[kind]([])
    assert isinstance(harness, Harness) and harness.sizes("search") == {}


@pytest.mark.parametrize("kind", sandbox.BACKENDS)
def test_every_backend_of_boxes_is_a_choice_of_tasks_and_says_what_it_needs(kind: str) -> None:
    assert BoxOptions(backend=kind).backend == kind
    assert [each.missing for each in sandbox.backends() if each.name == kind]
    with pytest.raises(SandboxError):
        sandbox.BACKENDS[kind].open(Limits(), "/no/such/root")


def test_every_tracker_is_a_choice_of_the_command() -> None:
    (option,) = (each for each in commands.commands["run"].params if each.name == "tracker")
    assert isinstance(option.type, click.Choice)
    assert list(option.type.choices) == [*trackers.TRACKERS, "none"]


def test_the_command_knows_its_choices_before_anything_slow_is_imported() -> None:
    program = "import sys, mergekit_cycleqd.cli.main; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    slow = {"torch", "transformers", "lm_eval", "mergekit", "ray", "ribs", "trackio", "wandb"}
    assert not slow & set(done.stdout.decode().split())


def test_what_a_kind_needs_besides_is_an_extra_of_the_same_name() -> None:
    project = (ROOT / "pyproject.toml").read_text()
    extras = project.split("[project.optional-dependencies]")[1].split("\n[")[0]
    known = set(re.findall(r"^([a-z]+) = \[", extras, flags=re.MULTILINE))
    needed = {kind.module for kind in ENGINES.values() if kind.module}
    needed |= {cluster.module for cluster in WORKERS.values() if cluster}
    needed |= {tracker.module for tracker in trackers.TRACKERS.values() if tracker.module}
    assert needed <= known


def test_every_key_of_an_engine_is_of_some_kind() -> None:
    of_some = {key for kind in ENGINES.values() for key in kind.keys}
    assert of_some | OF_EVERY_KIND == set(Engine.model_fields)
    assert not of_some & OF_EVERY_KIND


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_is_a_valid_search(name: str) -> None:
    assert Evolution.model_validate({"preset": name}).preset == name


# ---- keys that no section has ----

RECIPE: dict[str, Any] = {
    "base_model": "org/base",
    "experts": [{"model": f"org/{name}", "task": name} for name in ("one", "two")],
    "tasks": [
        {"name": name, "task": "t", "metric": "m", "samples": {"search": "0-9"}}
        for name in ("one", "two")
    ],
}

SCHEMA = Recipe.model_json_schema()
AS_TEXT = "SampleIds"  # which recipes write as text


@dataclass(frozen=True)
class Section:
    """A section of a recipe, of one of its kinds.

    Attributes:
        path: Keys and places in lists that lead to it.
        choice: The key and the word that make it of its kind; None where it has but one.
        keys: All that it may hold.
    """

    path: tuple[str | int, ...]
    choice: tuple[str, str] | None
    keys: tuple[str, ...]

    @property
    def name(self) -> str:
        return "".join(f"[{k}]" if isinstance(k, int) else f".{k}" for k in self.path).lstrip(".")

    def __str__(self) -> str:
        return f"{self.name or 'recipe'} {': '.join(self.choice or ())}".rstrip()

    def faults(self, **more: object) -> list[str]:
        """What is wrong with the recipe whose section holds this in addition."""
        content = deepcopy(RECIPE)
        place: Any = content
        for number, key in enumerate(self.path):
            listed = any(isinstance(after, int) for after in self.path[number + 1 : number + 2])
            inside: Any = [{}] if listed else {}
            place = place.setdefault(key, inside) if isinstance(key, str) else place[key]
        place |= dict([self.choice] if self.choice else []) | more
        try:
            parse_recipe(content, Path("recipe.yaml"))
        except RecipeError as error:
            return list(error.faults)
        return []


def sections(schema: Mapping[str, Any], path: tuple[str | int, ...] = ()) -> Iterator[Section]:
    """Every section in a part of the schema, of each of its kinds."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        if name != AS_TEXT:
            yield from sections(SCHEMA["$defs"][name], path)
        return
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from sections(part, path)
    if "items" in schema:
        yield from sections(schema["items"], (*path, 0))
    properties = schema.get("properties", {})
    if properties:
        keys = tuple(properties)
        yield Section(path, None, keys)
        for key, inner in properties.items():
            words = inner.get("enum", [inner["const"]] if "const" in inner else [])
            yield from (Section(path, (key, word), keys) for word in words)
            yield from sections(inner, (*path, key))


def kinds_apart(found: Iterator[Section]) -> list[Section]:
    """Without sections that name no kind where the schema asks them for one: it takes another."""
    listed = list(found)
    first: dict[tuple[str | int, ...], Section] = {}
    for each in listed:
        first.setdefault(each.path, each)
    return [each for each in listed if each.choice or first[each.path].keys == each.keys]


SECTIONS = kinds_apart(sections(SCHEMA))


def test_sections_and_kinds_are_found_in_the_schema() -> None:
    found = {str(section) for section in SECTIONS}
    assert {
        "recipe",
        "experts[0]",
        "tasks[0].samples",
        "publish",
        "evolution preset: best",
    } <= found
    assert {f"engine kind: {kind}" for kind in ENGINES} <= found
    assert {f"tasks[0] evaluator: {kind}" for kind in EVALUATORS} <= found
    assert {f"workers kind: {kind}" for kind in WORKERS} <= found
    assert {"evolution.mutation kind: svd", "evolution.task_vectors kind: both"} <= found


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_a_misspelt_key_is_one_line_with_its_path_and_the_near_key(section: Section) -> None:
    other = section.faults()
    for key in section.keys:
        where = f"recipe.yaml: {section.name}.{key}x".replace(": .", ": ")
        wrong = section.faults(**{f"{key}x": 1})
        assert [fault for fault in wrong if fault not in other] == [
            f"{where}: unknown key; did you mean {key!r}?"
        ]


@pytest.mark.parametrize("section", SECTIONS, ids=str)
def test_a_key_that_is_near_none_is_one_line_with_all_keys_of_the_kind(section: Section) -> None:
    other = section.faults()
    where = f"recipe.yaml: {section.name}.zzzzzz".replace(": .", ": ")
    assert [fault for fault in section.faults(zzzzzz=1) if fault not in other] == [
        f"{where}: unknown key; known: {', '.join(section.keys)}"
    ]
