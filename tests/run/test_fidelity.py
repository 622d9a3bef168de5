"""Adaptive fidelity in a run: fewer answers, whole elites, and the same whoever works."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.recipes import use_function, write_run_recipe
from tests.support.runs import derived, main_ok, run_main

ADAPTIVE = {"kind": "adaptive"}


def recipe_in(folder: Path, family: Family, *, children: int = 60, **evolution: Any) -> Path:
    def change(content: dict[str, Any]) -> None:
        workers = evolution.pop("workers", {})
        for each in content["tasks"]:
            each |= {"bins": 2, "samples": {"search": "0-23"}}
        content["engine"]["batch_size"] = 8
        content["evolution"] |= {"children": children, "lag": 4, "fidelity": ADAPTIVE} | evolution
        content["workers"] = workers

    folder.mkdir(exist_ok=True)
    return write_run_recipe(folder / "recipe.yaml", family, change)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / FILE).read_text().splitlines()[1:]]


@pytest.fixture(scope="module")
def whole(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fidelity")
    main_ok([str(recipe_in(folder, family)), "--out", str(folder / "run")])
    return folder / "run"


def test_what_is_stopped_has_answered_a_part_and_no_elite_is_among_it(
    whole: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    children = [line for line in lines(whole) if line["kind"] == "candidate"]
    stopped = [line for line in children if line["status"] == "stopped"]
    assert len(stopped) > 10
    assert all(line["scores"] is None and line["error"] is None for line in stopped)
    view = RunView.read(whole)
    assert not {e.index for t in view.search.tasks for e in view.search.elites(t)} & {
        line["index"] for line in stopped
    }
    shares = []
    for line in stopped:
        found = view.samples.of(line["id"], "search")
        known = {task: values[~np.isnan(values)] for task, values in found.items()}
        for task, values in known.items():
            low, high = line["bounds"][task]
            assert low == pytest.approx(values.sum() / 24)
            assert high == pytest.approx(low + 1 - len(values) / 24)
        shares.append(sum(map(len, known.values())) / 72)
    assert min(shares) == pytest.approx(18 / 72) and max(shares) < 1, "first is a quarter"
    main_ok(["journal", "check", str(whole)])
    assert f"{len(stopped)} stopped early" in capsys.readouterr().out
    main_ok(["report", str(whole)])


def test_a_run_that_goes_on_ends_as_one_that_was_never_ended(
    whole: Path, family: Family, tmp_path: Path
) -> None:
    for children in (31, 60):
        recipe = recipe_in(tmp_path, family, children=children)
        main_ok([str(recipe), "--out", str(tmp_path / "run")])
    assert derived(tmp_path / "run") == derived(whole)


@pytest.mark.slow
def test_two_processes_ask_the_same(whole: Path, family: Family, tmp_path: Path) -> None:
    workers = {"kind": "local", "count": 2}
    main_ok([str(recipe_in(tmp_path, family, workers=workers)), "--out", str(tmp_path / "run")])
    assert derived(tmp_path / "run") == derived(whole)


def test_a_run_says_that_nothing_can_be_left_out(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def change(content: dict[str, Any]) -> None:
        use_function(content, task=f"{tmp_path}/mine.py:norm")
        content["tasks"] = content["tasks"][1:2]
        content["experts"] = content["experts"][1:2]
        content["evolution"] = {"children": 25, "fidelity": ADAPTIVE}

    (tmp_path / "mine.py").write_text(
        "def norm(model, ids):\n    return {'norm': float(model.model.lm_head.weight.norm())}\n"
    )
    recipe = write_run_recipe(tmp_path / "recipe.yaml", family, change)
    main_ok([str(recipe), "--out", str(tmp_path / "run")])
    said = "evolution.fidelity: off, since no task's score is the mean of samples' scores"
    assert capsys.readouterr().out.count(said) == 1
    assert all(line["status"] == "done" for line in lines(tmp_path / "run"))


def test_likelihoods_are_kept_and_a_task_of_given_answers_is_told_off(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = recipe_in(tmp_path, family, children=26, fidelity=ADAPTIVE | {"likelihood": True})
    main_ok([str(recipe), "--out", str(tmp_path / "run")])
    printed = capsys.readouterr().out
    for task in ("red", "green", "blue"):
        assert printed.count(f"evolution.fidelity.likelihood: off for {task}, since") == 1
    assert not any("finds" in line for line in lines(tmp_path / "run"))


@pytest.mark.parametrize(
    ("other", "line"),
    [
        ({"early_stop": True}, "early_stop and fidelity do not go together: fidelity stops"),
        ({"reevaluate": 3}, "fidelity and reevaluate do not go together: a candidate that was"),
        ({"fidelity": {"kind": "adaptive", "chance": 1}}, "evolution.fidelity.chance: "),
        ({"fidelity": {"kind": "adaptive", "first": 0}}, "evolution.fidelity.first: "),
        ({"fidelity": {"kind": "fast"}}, "evolution.fidelity.kind: "),
        ({"fidelity": "adaptive"}, "evolution.fidelity: "),
    ],
)
def test_bad_settings_are_told_by_their_key(
    other: dict[str, Any],
    line: str,
    family: Family,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run_main(recipe_in(tmp_path, family, **other), "--out", tmp_path / "run") == 2
    assert line in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()
