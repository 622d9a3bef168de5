"""Stopping a candidate early changes no archive: the bounds hold, and the search is the same."""

from __future__ import annotations

import json
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.engines.hf.engine import HFEngine
from mergekit_cycleqd.evaluators.lm_eval_harness import LMHarness
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.early_stop import Bounds, CannotEnter, EntryThresholds
from mergekit_cycleqd.search.worth import Worth
from tests.support.lm_eval_tasks import task
from tests.support.recipes import write_run_recipe
from tests.support.runs import derived, main_ok

TASKS = ("a", "b", "c")
GENOME = Genome.from_base(Family("base", ("a", "b", "c")))
score = st.integers(0, 12).map(lambda n: n / 12)
scores = st.fixed_dictionaries({name: score for name in TASKS})


def archives_of(told: list[dict[str, float]], lower: str = "") -> list[TaskArchive]:
    worth = Worth(dict.fromkeys(lower, (0.1, 0.9)))
    archives = [
        TaskArchive(name, [t for t in TASKS if t != name], [3, 2], [(0.1, 0.9), (0.0, 1.0)], worth)
        for name in TASKS
    ]
    for i, found in enumerate(told):
        for archive in archives:
            archive.add(Elite(i, GENOME, found, ()))
    return archives


def hopeless(floors: EntryThresholds, bounds: Bounds) -> bool:
    try:
        floors.check(bounds)
    except CannotEnter as stop:
        assert stop.bounds == bounds
        return True
    return False


@pytest.mark.parametrize("lower", ["", "b", "abc"])
@given(st.lists(scores, max_size=40), scores, scores, scores)
def test_what_is_stopped_would_have_entered_no_archive(
    lower: str,
    told: list[dict[str, float]],
    low: dict[str, float],
    high: dict[str, float],
    final: dict[str, float],
) -> None:
    bounds = {name: (min(low[name], final[name]), max(high[name], final[name])) for name in TASKS}
    archives = archives_of(told, lower)
    floors = EntryThresholds(tuple(archive.entry_threshold for archive in archives))
    again = EntryThresholds.from_json(json.loads(json.dumps(floors.to_json())))
    for ours, theirs in zip(floors.archives, again.archives, strict=True):
        assert (ours.task, ours.axes, ours.ranges) == (theirs.task, theirs.axes, theirs.ranges)
        assert np.array_equal(ours.qualities, theirs.qualities) and ours.worth == theirs.worth
    stopped = hopeless(floors, bounds)
    exact = hopeless(floors, {name: (final[name], final[name]) for name in TASKS})
    entered = [archive.add(Elite(99, GENOME, final, ())) for archive in archives]
    assert exact is not any(entered), "with nothing left open it is known"
    if stopped:
        assert not any(entered)


class Listening(EntryThresholds):
    """Floors that keep what they were asked about, and stop nothing."""

    def __init__(self) -> None:
        super().__init__(())
        object.__setattr__(self, "heard", [])

    def check(self, bounds: Mapping[str, tuple[float, float]]) -> None:
        self.heard.append(dict(bounds))  # type: ignore[attr-defined]


def test_bounds_close_in_on_the_score_that_lm_eval_reports(family: Family) -> None:
    experts = [Checkpoint.open(expert) for expert in family.experts]
    settings = Engine(device="cpu", dtype="float32", batch_size=4)
    engine = HFEngine(settings, Checkpoint.open(family.base_model), experts)
    tasks = [task(name, "acc,none") for name in ("red", "partial")]
    tasks.append(task("generate", "exact_match,first-word"))
    harness = LMHarness([*tasks, task("whole", "exact_match,whole", task="tiny_generate")])
    harness.evaluate(engine.model, "search")  # builds the requests
    heard: list[dict[str, tuple[float, float]]] = []
    for k in range(3):
        engine.load(Genome.from_expert(family, k))
        floors = Listening()
        final = harness.evaluate(engine.model, "search", floors)
        heard = floors.heard  # type: ignore[attr-defined]
        for before, bounds in pairwise(heard):
            for name, (low, high) in bounds.items():
                assert low <= final[name] <= high
                assert before[name][0] <= low and high <= before[name][1]
        assert len(heard) == 4 * 18, "every sample of every task narrows them"
        for name, (low, high) in heard[-1].items():
            assert high - low < 1e-8 and low <= final[name] <= high
        assert not hasattr(engine.model.cache_hook, "heard") and len(heard[0]) == 4


def statuses(folder: Path) -> list[str]:
    return [json.loads(line).get("status", "") for line in (folder / FILE).read_text().splitlines()]


def run_with(family: Family, folder: Path, early_stop: bool, **workers: Any) -> Path:
    def change(content: dict[str, Any]) -> None:
        for each in content["tasks"]:
            each |= {"bins": 2, "samples": {"search": "0-23"}}
        content["engine"]["batch_size"] = 4
        content["evolution"] |= {"children": 40, "early_stop": early_stop, "lag": 4}
        content["workers"] = workers

    folder.mkdir()
    recipe = write_run_recipe(folder / "recipe.yaml", family, change)
    main_ok([str(recipe), "--out", str(folder / "run")])
    return folder / "run"


@pytest.mark.slow
def test_two_processes_stop_early_too(family: Family, tmp_path: Path) -> None:
    alone = run_with(family, tmp_path / "alone", early_stop=True)
    apart = run_with(family, tmp_path / "apart", early_stop=True, kind="local", count=2)
    assert derived(alone) == derived(apart)
    assert statuses(apart).count("stopped") > 4


@pytest.mark.slow
def test_archives_are_the_same_with_it_and_without_it(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    whole = run_with(family, tmp_path / "whole", early_stop=False)
    early = run_with(family, tmp_path / "early", early_stop=True)
    assert derived(whole) == derived(early)
    assert "stopped" not in statuses(whole)
    stopped = [
        json.loads(line)
        for line in (early / FILE).read_text().splitlines()
        if '"status":"stopped"' in line.replace(" ", "")
    ]
    assert len(stopped) > 4
    assert all(one["scores"] is None and one["error"] is None for one in stopped)
    by_index = {
        one["index"]: one["scores"]
        for line in (whole / FILE).read_text().splitlines()
        if "index" in (one := json.loads(line))
    }
    for one in stopped:
        for name, (low, high) in one["bounds"].items():
            assert low <= by_index[one["index"]][name] <= high
    capsys.readouterr()
    main_ok(["journal", "check", str(early)])
    assert f"{len(stopped)} stopped early" in capsys.readouterr().out
