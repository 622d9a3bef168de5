"""Recipes that no careful person writes: never a traceback, a hang, or anything run."""

from __future__ import annotations

import copy
import math
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from types import FrameType
from typing import Any

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import Scene
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.recipe.safe_yaml import read_yaml
from mergekit_cycleqd.run_folder.journal_lines import encode

_SECONDS = 20  # of the processor: no recipe may take more to be read

_SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([0, -1, 2**63, 2**64, 10**30, -(10**400), 1e308, 5e-324, math.inf, math.nan]),
    st.floats(),
    st.text(max_size=30),
    st.sampled_from(
        ["auto", "svd", "../../etc/passwd", "a" * 5000, "/dev/zero", "\0", "🦙", "a+b"]
    ),
    st.binary(max_size=8),
    st.dates(),
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.text(max_size=8), st.integers()), inner, max_size=4),
    ),
    max_leaves=8,
)
_PIECES = [
    *("a", ": ", "- ", "  ", "&a ", "*a", "<<: ", "!!int ", "!!set ", "!!python/name:os.system "),
    *("%YAML 1.1", "---", "...", "? ", "tasks", "experts", "base_model", "0x", "1e9", "2024-02-31"),
    *"[]{}|>#~'\"\\\t\n",
]
_TEXTS = st.one_of(
    st.text(max_size=200),
    st.lists(
        st.sampled_from(_PIECES),
        max_size=40,
    ).map("".join),
)

Content = dict[str, Any]


@st.composite
def _altered(draw: st.DrawFn, content: Content) -> Content:
    """A recipe with one to three values put in the place of others, or beside them."""
    changed = copy.deepcopy(content)
    for _ in range(draw(st.integers(1, 3))):
        place: Any = changed
        while True:
            keys = list(place) if isinstance(place, dict) else list(range(len(place)))
            if isinstance(place, dict) and draw(st.integers(0, 9)) == 0:
                place[draw(st.text(max_size=8))] = draw(_VALUES)
                break
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(place[key], dict | list) and place[key] and draw(st.booleans()):
                place = place[key]
                continue
            if isinstance(place, dict) and draw(st.integers(0, 9)) == 0:
                del place[key]
            else:
                place[key] = draw(_VALUES)
            break
    return changed


def run_recipes(scene: Scene, tries: int) -> Outcome:
    """Read run recipes with anything in the place of anything (hypothesis)."""
    outcome = Outcome("run recipe with any value at any place")
    whole = yaml.safe_load(scene.recipe.read_text())
    whole["evolution"] |= {"preset": "best", "founders": [0.3, 1.0], "screen": 4}
    whole["evolution"] |= {"mutation": {"kind": "svd", "rank": 3}, "crossover": {"line": 0.1}}
    whole["evolution"] |= {"sampling": {"low": 0.5, "high": 0.8}, "quality": "cyclic", "lag": 2}
    whole |= {"workers": {"count": 2}, "publish": {"repo_id": "me/x-{task}", "what": "best"}}
    whole["tasks"][0] |= {"metadata": {"a": [1]}, "gen_kwargs": {"b": 2}, "range": [0, 1]}
    texts = _altered(whole).map(lambda content: yaml.dump(content, allow_unicode=True))
    _try_texts(outcome, scene, texts, tries, _read_run)
    return outcome


def texts(scene: Scene, tries: int) -> Outcome:
    """Read texts that are YAML by chance, or not at all (hypothesis)."""
    outcome = Outcome("recipe file of any text, anchors and tags")
    _try_texts(outcome, scene, _TEXTS, tries, _read_run)
    return outcome


def model_recipes(scene: Scene, tries: int) -> Outcome:
    """Read the recipes of models as strangers publish them (hypothesis)."""
    outcome = Outcome("model recipe of a stranger, with any value at any place")
    parameters = {"weight": 0.5, "mutation": "3:0.1 18446744073709551615:-2.5"}
    whole = {
        "merge_method": "cycleqd",
        "base_model": "org/base",
        "models": [
            {"model": f"org/{name}", "parameters": dict(parameters)} for name in ("one", "two")
        ],
        "parameters": {"rank": 0, "noise": "4:0.001", "lineage": "7:0.25@0.5,0.5 =;0*1.0"},
        "dtype": "float32",
    }
    texts = _altered(whole).map(lambda content: yaml.dump(content, allow_unicode=True))
    _try_texts(outcome, scene, texts, tries, _read_model)
    return outcome


def _read_run(path: Path) -> str:
    recipe = load_recipe(path)
    encode(recipe.model_dump(mode="json"))
    return ""


def _read_model(path: Path) -> str:
    genome = Genome.from_mergekit(read_yaml(path))
    encode({"id": genome.id, "recipe": genome.to_recipe()})
    return ""


def _try_texts(
    outcome: Outcome,
    scene: Scene,
    texts: st.SearchStrategy[str],
    tries: int,
    read: Callable[[Path], str],
) -> None:
    path = scene.new("fuzz") / "recipe.yaml"

    @settings(
        max_examples=tries, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(texts)
    def check(text: str) -> None:
        outcome.tried += 1
        path.write_text(text, encoding="utf-8", errors="surrogatepass")
        with watched():
            try:
                read(path)
            except RecipeError as error:
                line = error.faults[0]
                if len(line) < 200 and line.isprintable():
                    outcome.tell(f"error: {line}", "error", scene.folder)
            except CycleQDError as error:
                line = f"error: {path.name}: {error}"
                if len(line) < 200 and line.isprintable():
                    outcome.tell(line, "error", scene.folder)

    try:
        check()
    except Exception as error:
        notes = " ".join(getattr(error, "__notes__", []))
        outcome.wrong.append(f"{type(error).__name__}: {error} {notes}"[:1500])


def _nested(times: int) -> str:
    """Nine times nine times nine ...: a billion laughs."""
    names = [f"x{i}" for i in range(times)]
    lines = [f"x0: &x0 [{', '.join(['ha'] * 9)}]"]
    lines += [f"{b}: &{b} [{', '.join(['*' + a] * 9)}]" for a, b in pairwise(names)]
    return "\n".join([*lines, *(f"{key}: *{names[-1]}" for key in ("base_model", "tasks"))])


def bombs(canary: Path) -> dict[str, str]:
    """Files that are made to break a reader of YAML, or to run something."""
    touch = f"touch {canary}"
    numbers = ", ".join(map(str, range(0, 40_000, 2)))
    return {
        "billion laughs": _nested(7),
        "deep lists": "[" * 50_000,
        "deep mappings": "a: " + "{a: " * 5_000,
        "deep blocks": "\n".join(" " * i + "a:" for i in range(2_000)),
        "itself in itself": "&a [*a, *a]",
        "merged with itself": "&a {<<: *a}",
        "a key twice": "a: 1\na: 2",
        "5,000 digits": "children: " + "9" * 5_000,
        "a date that is none": "a: 2024-13-45",
        "a tag that does not fit": "a: !!bool x",
        "code by apply": f"a: !!python/object/apply:os.system ['{touch}']",
        "code by new": f"a: !!python/object/new:subprocess.Popen [[touch, {canary}]]",
        "20,000 sample ids": f"samples: {{search: [{numbers}], holdout: [{numbers}]}}",
        "not UTF-8": "\udcff\udcfe",
        "control characters": "a: \x07\x1b[2J",
        "a NUL": "a: \0",
        "100,000 keys": "\n".join(f"k{i}: 1" for i in range(100_000)),
        "10 MB of text": "base_model: " + "a" * 10_000_000,
    }


def yaml_bombs(scene: Scene, tries: int) -> Outcome:
    """Give the command files that are made to break it."""
    outcome = Outcome("YAML bombs, anchors, duplicate keys, huge numbers, deep nesting, code")
    canary = scene.new("canary") / "sang"
    for name, text in list(bombs(canary).items())[:tries]:
        path = scene.new("bomb") / "recipe.yaml"
        path.write_text(text, encoding="utf-8", errors="surrogateescape")
        before = sorted(path.parent.iterdir())
        with watched():
            code, said = scene.say(path, "--out", path.parent / "run")
        outcome.tried += 1
        outcome.expect(code == 2, f"{name}: exit code {code}: {said[-300:]}")
        outcome.expect("Traceback" not in said, f"{name}: {said[-300:]}")
        outcome.expect(sorted(path.parent.iterdir()) == before, f"{name}: something was written")
        if name == "billion laughs":
            outcome.tell(said, "aliases stand for too much", scene.folder)
    outcome.expect(not canary.exists(), "a recipe ran a command")
    return outcome


class _Hang(Exception):
    pass


@contextmanager
def watched() -> Iterator[None]:
    """Break off what takes too long."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Hang(f"took more than {_SECONDS} s")

    before = signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, _SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, before)
