"""Runs whose founders are fitted to the experts' own answers."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.engines.backward.learner import Learner
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.fit_record import FitRecord
from mergekit_cycleqd.run_folder.journal_reading import FILE, read_records
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.recipes import RecipeMaker, write_run_recipe
from tests.support.runs import derived, lines, main_ok, run_main, start, wait_for

pytestmark = pytest.mark.costly
KINDS = ("plain", "wudi")


def fitted(content: dict[str, Any]) -> None:
    content["evolution"] |= {
        "children": 12,
        "founders": [{"kind": "fit", "over": list(KINDS), "steps": 8, "batch": 12}, 0.5],
    }


def fits(folder: Path) -> list[FitRecord]:
    found: list[FitRecord] = []
    list(read_records(folder / FILE, RunView.read(folder).recipe.family, found.append))
    return found


@pytest.fixture(scope="module")
def run_once(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("once")
    recipe = write_run_recipe(folder / "recipe.yaml", family, fitted)
    main_ok([str(recipe), "--out", str(folder / "run")])
    return folder / "run"


def test_a_founder_of_each_kind_is_fitted_and_evaluated(run_once: Path) -> None:
    run, found = RunView.read(run_once), fits(run_once)
    assert [fit.genome.family.task_vectors.kind for fit in found] == list(KINDS)
    children = [run.told[index].candidate.genome for index in (3, 4, 5)]
    assert [found[0].genome, found[1].genome] == [children[0], children[2]]
    assert children[1].weights == (0.5, 0.5, 0.5), "a coefficient is of the run's own kind alone"
    for fit in found:
        assert len(fit.losses) == 8 and min(fit.losses[1:]) < fit.losses[0]
        assert fit.held_back[fit.kept] == min(fit.held_back.values())
        rows = dict(zip(fit.genome.groups.filters, fit.genome.groups.weights, strict=True))
        assert len(rows) == 21 and not fit.genome.terms
        assert rows["lm_head.weight"] == rows["model.embed_tokens.weight"], "they are tied"


def test_fitted_samples_are_not_scored(run_once: Path) -> None:
    run = RunView.read(run_once)
    assert "(search, n=12)" in (run_once / "summary.md").read_text()
    assert run.counts["search"] == {"red": 12, "green": 12, "blue": 12}
    assert fits(run_once)[0].samples == {"red": 12, "green": 12, "blue": 12}
    assert not list(run_once.glob("fit-*")), "the file of a fit goes when the journal has it"


def test_a_journal_with_fits_is_read_without_a_model(
    run_once: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Learner, "__init__", None)
    assert run_main("journal", "check", run_once) == 0
    assert (
        "12 of 12 children told, 0 evaluations failed, 2 founders fitted" in capsys.readouterr().out
    )
    run = RunView.read(run_once)
    told = [item for item in run.told.values() if item.candidate.index < 3]
    search = CycleQD(run.recipe, told)
    for fit in fits(run_once):
        search.add_fitted(fit.genome)
    assert search.ask().genome == run.told[3].candidate.genome


def test_a_run_that_is_killed_within_a_fit_goes_on_to_the_same_bytes(
    run_once: Path, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    recipe, out = make_recipe(fitted), tmp_path / "run"
    process, file = start(recipe, out), out / "fit-wudi.json"
    while process.poll() is None and not (file.exists() and _step(file) >= 3):
        time.sleep(0.002)
    process.kill()
    process.communicate()
    assert _step(file) < 8, "killed between two steps"
    assert lines(out) == 2, "the header, and the first fit"
    main_ok([str(recipe), "--out", str(out)])
    assert derived(out) == derived(run_once)
    assert [fit.genome.id for fit in fits(out)] == [fit.genome.id for fit in fits(run_once)]
    assert [fit.losses for fit in fits(out)] == [fit.losses for fit in fits(run_once)]


def _step(file: Path) -> int:
    content = file.read_bytes()
    return int(json.loads(content)["step"]) if content else 0


def test_a_run_that_has_its_fits_makes_none_again(
    run_once: Path, make_recipe: RecipeMaker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = Path(shutil.copytree(run_once, tmp_path / "run"))
    kept = [line for line in (out / FILE).read_bytes().splitlines(keepends=True)][:3]
    (out / FILE).write_bytes(b"".join(kept))
    (out / "fit-plain.json").write_text("what a crash after the line of the journal leaves")
    monkeypatch.setattr(Learner, "slopes", None)
    main_ok([str(make_recipe(fitted)), "--out", str(out)])
    assert derived(out) == derived(run_once) and not (out / "fit-plain.json").exists()


def timeless(folder: Path) -> list[dict[str, Any]]:
    """The lines of a journal but for what a clock decides."""
    found = [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()]
    return [{k: v for k, v in line.items() if k not in ("seconds", "crc32")} for line in found]


@pytest.mark.slow
def test_a_run_that_is_killed_among_children_of_fitted_founders_goes_on_to_the_same_bytes(
    run_once: Path,
    make_recipe: RecipeMaker,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    made = [line for line in timeless(run_once) if "mix" in line]
    assert len(made) == 9 and not any({"weights", "groups"} & set(line) for line in made)
    first = timeless(run_once).index(next(line for line in made if {3, 5} & set(line["parents"])))
    recipe, out = make_recipe(fitted), tmp_path / "run"
    process = start(recipe, out)
    wait_for(out, first + 2, process)
    process.kill()
    process.communicate()
    assert first + 2 <= lines(out) < lines(run_once), "killed after a child of a fitted founder"
    main_ok([str(recipe), "--out", str(out)])
    assert derived(out) == derived(run_once)
    theirs = timeless(run_once)
    assert timeless(out)[1:] == theirs[1:]
    capsys.readouterr()
    assert run_main("journal", "check", out) == 0
    said = capsys.readouterr().out
    assert f": {len(theirs)} lines, every checksum right" in said and "2 founders fitted" in said


@pytest.mark.slow
def test_workers_of_several_processes_find_the_same(
    run_once: Path, make_recipe: RecipeMaker, tmp_path: Path
) -> None:
    def by_two(content: dict[str, Any]) -> None:
        fitted(content)
        content["workers"] = {"count": 2}
        content["evolution"]["lag"] = 1

    main_ok([str(make_recipe(by_two)), "--out", str(tmp_path / "run")])
    assert derived(tmp_path / "run") == derived(run_once)
