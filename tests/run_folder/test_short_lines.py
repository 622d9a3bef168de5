"""Lines that keep how a child was made, where founders are fitted, and of M experts and K tasks."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.fit_record import FitRecord
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_check import check_journal, replay_checked
from mergekit_cycleqd.run_folder.journal_genomes import JournalGenomes
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, FULL, VERSION, candidates_in
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import history

WEIGHTS = [{"of": "weights", "bins": 2}]
REPORTED = ["output_length", *WEIGHTS]
FITTED = {"founders": [{"kind": "fit", "over": ["plain", "wudi"]}, 0.5]}


def run_of(experts: int, tasks: int, measures: list[Any] | None = None, **evolution: Any) -> Recipe:
    """A run of tasks t0, t1, and so on; every second expert has a task."""
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [
                {"model": f"m{i}", "task": f"t{i % tasks}" if i % 2 == 0 else None}
                for i in range(experts)
            ],
            "tasks": [
                {
                    "name": f"t{k}",
                    "task": "x",
                    "metric": "acc",
                    "samples": {"search": "0-9"},
                    "bins": 5,
                    "measures": measures,
                }
                for k in range(tasks)
            ],
            "evolution": {"children": 50, **evolution},
        }
    )


def scores(run: Recipe, candidate: Candidate) -> dict[str, float]:
    position = sum(w * (k + 1) for k, w in enumerate(candidate.genome.weights))
    shake = sum(term.scale * (term.seed % 97) for term in candidate.genome.terms) / 1000
    found = {task: (position * (k + 2)) % 1.0 + shake for k, task in enumerate(run.task_names)}
    return found | {f"output_length of {task}": 100 + position for task in run.task_names}


def fit_of(family: Family) -> FitRecord:
    """What a fit of this family found: weights by groups of tensors."""
    count = len(family.experts)
    mlp = tuple(0.3 + 0.1 * k for k in range(count))
    groups = TensorGroups(("mlp", "attn"), (mlp, (0.4,) * count))
    genome = Genome(family, (0.35,) * count, groups=groups)
    return FitRecord(genome, {"index": 90}, (0.5, 0.25), {0.0: 0.3, 1.0: 0.2}, 1.0, 1.5)


def go(folder: Path, run: Recipe) -> CycleQD:
    """Begin or go on with a run as `Run` does, to its end."""
    journal = Journal.open(
        folder, {"recipe": run.model_dump(mode="json"), "fingerprints": {}, "versions": {}}
    )
    search = CycleQD(run, journal.replay(run.family))
    for fit in journal.fits:
        search.add_fitted(fit.genome)
    for family in search.to_fit:
        journal.append_fit(fit_of(family))
        search.add_fitted(journal.fits[-1].genome)
    while not search.done:
        candidate = search.ask()
        journal.append(Record(candidate.genome, "search", scores(run, candidate), candidate))
        search.tell(candidate, scores(run, candidate))
    journal.close()
    return search


def contents(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()]


def cut_anywhere(run: Recipe, folder: Path) -> CycleQD:
    """See that a run goes on to the same bytes wherever its journal was cut off."""
    search = go(folder / "whole", run)
    whole = (folder / "whole" / FILE).read_bytes()
    first = len(whole.splitlines(keepends=True)[0])
    for place in range(3):
        cut = folder / f"cut-{place}"
        cut.mkdir()
        (cut / FILE).write_bytes(whole[: first + 1 + (len(whole) - first) * place // 3])
        assert history(go(cut, run)) == history(search)
        assert (cut / FILE).read_bytes() == whole
    return search


@pytest.mark.parametrize(
    ("experts", "tasks", "measures", "evolution"),
    [
        (2, 3, None, {}),
        (2, 3, WEIGHTS, {"preset": "best", "screen": 4}),
        (2, 3, REPORTED, {"reevaluate": 5}),
        (7, 2, WEIGHTS, {"preset": "best", "screen": 4}),
        (1, 2, None, {"preset": "best", "screen": 4}),
    ],
)
def test_any_number_of_experts_and_tasks_is_gone_on_with_from_short_lines(
    experts: int,
    tasks: int,
    measures: list[Any] | None,
    evolution: dict[str, Any],
    tmp_path: Path,
) -> None:
    run = run_of(experts, tasks, measures, **evolution)
    search = cut_anywhere(run, tmp_path)
    made = [line for line in contents(tmp_path / "whole") if "mix" in line]
    assert len(made) > 30 and not any({"weights", "terms"} & set(line) for line in made)
    view = RunView.read(tmp_path / "whole")
    assert history(view.search) == history(search)
    for task in run.task_names:
        assert [e.measures for e in view.search.elites(task)] == [
            e.measures for e in search.elites(task)
        ]
    assert "50 of 50 children told" in check_journal(tmp_path / "whole")


@pytest.mark.parametrize(("experts", "tasks"), [(3, 3), (2, 3)])
def test_children_of_fitted_founders_have_short_lines_and_come_again_from_them(
    experts: int, tasks: int, tmp_path: Path
) -> None:
    run = run_of(experts, tasks, **FITTED)
    search = cut_anywhere(run, tmp_path)
    found = contents(tmp_path / "whole")
    assert [line["kind"] for line in found[:3]] == ["header", "fit", "fit"]
    bred = [line for line in found if "mix" in line]
    assert len(bred) == 50 - 3 and not any("groups" in line for line in bred)
    founders = {experts, experts + 2}  # fitted for plain task vectors, 0.5, fitted for wudi
    assert sum(bool(founders & set(line["parents"])) for line in bred) > 3
    grouped = [e for task in search.tasks for e in search.elites(task) if e.genome.groups]
    assert len(grouped) > 3
    said = check_journal(tmp_path / "whole")
    assert f": {len(found)} lines, every checksum right; 50 of 50 children told" in said
    assert said.endswith("0 evaluations failed, 2 founders fitted")
    view = RunView.read(tmp_path / "whole")
    assert {e.index: e.genome for e in grouped} == {
        e.index: view.told[e.index].candidate.genome for e in grouped
    }


def test_a_run_with_fits_in_the_form_before_goes_on_in_that_form(tmp_path: Path) -> None:
    run = run_of(2, 3, **FITTED)
    header = {"recipe": run.model_dump(mode="json"), "fingerprints": {}, "versions": {}}
    (tmp_path / "begun").mkdir()
    (tmp_path / "begun" / FILE).write_bytes(encode({"kind": "header", "version": FULL, **header}))
    search = go(tmp_path / "begun", run)
    lines = (tmp_path / "begun" / FILE).read_bytes().splitlines(keepends=True)
    assert all(b'"weights":' in line for line in lines[1:])
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / FILE).write_bytes(b"".join(lines[:20]))
    assert history(go(tmp_path / "half", run)) == history(search)
    assert (tmp_path / "half" / FILE).read_bytes() == b"".join(lines)
    assert contents(tmp_path / "half")[0]["version"] == FULL != VERSION
    assert ", 2 founders fitted" in check_journal(tmp_path / "half")


@pytest.mark.parametrize("read", ["view", "check"])
def test_a_search_that_is_read_can_breed_fitted_founders(read: str, tmp_path: Path) -> None:
    run = run_of(2, 3, **FITTED)
    go(tmp_path, run)
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    (tmp_path / FILE).write_bytes(b"".join(lines[:5]))  # with the experts, without the founders
    search = RunView.read(tmp_path).search if read == "view" else replay_checked(tmp_path)[0]
    assert search.to_fit == () and search.ready
    assert search.ask().genome == fit_of(run.family).genome


def test_numbers_of_candidates_are_not_taken_from_tasks_or_settings(tmp_path: Path) -> None:
    run = run_of(2, 3, **FITTED)
    content = run.model_dump(mode="json")
    content["tasks"][0]["metadata"] = {"index": 4000}
    run = Recipe.model_validate(content)
    go(tmp_path, run)
    text = (tmp_path / FILE).read_text()
    assert '"index":4000}' in text and '"index":90}' in text
    assert candidates_in(tmp_path / FILE) == 2 + 50
    assert RunView.read(tmp_path).finished


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The numbers of the genomes that are computed from here on."""
    made: list[int] = []
    compute = JournalGenomes._genome

    def count(genomes: JournalGenomes, index: int) -> Genome:
        made.append(index)
        return compute(genomes, index)

    monkeypatch.setattr(JournalGenomes, "_genome", count)
    return made


@pytest.mark.parametrize("measures", [None, WEIGHTS], ids=["scores", "weights"])
def test_a_replay_computes_elites_or_what_has_weights_as_measures(
    measures: list[Any] | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_of(2, 3, measures, children=200)
    search = go(tmp_path, run)
    made = counted(monkeypatch)
    assert history(RunView.read(tmp_path).search) == history(search)
    bred = {line["index"] for line in contents(tmp_path) if "mix" in line}
    assert set(made) == bred if measures else len(made) < 0.7 * len(bred)


def test_a_shift_of_another_number_of_experts_is_one_line(tmp_path: Path) -> None:
    run = run_of(2, 3, crossover={"kind": "iso_line"})
    go(tmp_path, run)
    found = contents(tmp_path)
    place = next(i for i, line in enumerate(found) if "shift" in line)
    found[place]["shift"].append(0.5)
    lines = ({k: v for k, v in line.items() if k != "crc32"} for line in found)
    (tmp_path / FILE).write_bytes(b"".join(map(encode, lines)))
    said = f"line {place + 1} is damaged: its shift has 3 numbers, where there are 2 experts"
    with pytest.raises(JournalError, match=said):
        check_journal(tmp_path)
