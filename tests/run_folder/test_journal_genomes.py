"""Journals keep how children were made, and their genomes come again from that to the bit."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder import journal_genomes
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_check import check_journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, FULL
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.candidate import Candidate, Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import TASKS, history, recipe, scores

SEARCHES: dict[str, dict[str, Any]] = {
    "paper": {},
    "released": {"preset": "released", "lag": 7},
    "child": {"mutation": {"basis": "child"}, "children": 40},
    "best": {"preset": "best", "screen": 4, "children": 60},
    "lines": {"crossover": {"kind": "iso_line"}},
    "again": {"reevaluate": 3, "children": 60},
}


def header(run: Recipe) -> dict[str, Any]:
    return {"recipe": run.model_dump(mode="json"), "fingerprints": {}, "versions": {}}


def written(folder: Path, run: Recipe, first: CycleQD | None = None) -> list[Outcome]:
    """What a search told its journal; a candidate of 20 fails."""
    journal = Journal.open(folder, header(run))
    search = first or CycleQD(run, journal.replay(run.family))
    told = []
    while not search.done:
        candidate = search.ask()
        found = scores(candidate) if candidate.index % 20 != 19 else None
        error = None if found else "broke"
        journal.append(Record(candidate.genome, "search", found, candidate, error))
        search.tell(candidate, found)
        told.append(Outcome(candidate, found))
    journal.close()
    return told


def replayed(folder: Path, run: Recipe) -> CycleQD:
    journal = Journal.open(folder, header(run))
    try:
        return CycleQD(run, journal.replay(run.family))
    finally:
        journal.close()


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()]


def rewrite(folder: Path, changed: list[dict[str, Any]]) -> None:
    """Write lines with right checksums, as somebody who means to would."""
    contents = ({k: v for k, v in line.items() if k != "crc32"} for line in changed)
    (folder / FILE).write_bytes(b"".join(map(encode, contents)))


@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_comes_again_from_lines_that_do_not_grow(name: str, tmp_path: Path) -> None:
    run = recipe(**SEARCHES[name])
    told = written(tmp_path, run)
    bred = [line for line in lines(tmp_path) if len(line.get("parents", ())) == 2]
    assert len(bred) > 30 and not any({"weights", "terms", "lineage"} & set(line) for line in bred)
    sizes = [len(line) for line in (tmp_path / FILE).read_bytes().splitlines()[1:]]
    assert max(sizes) < 500
    search = replayed(tmp_path, run)
    assert history(search) == history(CycleQD(run, told))
    view = RunView.read(tmp_path)
    assert {i: t.candidate.genome for i, t in view.told.items()} == {
        item.candidate.index: item.candidate.genome for item in told
    }
    assert f"{run.evolution.children} of {run.evolution.children} children" in check_journal(
        tmp_path
    )


def test_a_run_goes_on_from_such_a_journal_with_the_same_bytes(tmp_path: Path) -> None:
    run = recipe(children=80)
    written(tmp_path / "whole", run)
    whole = (tmp_path / "whole" / FILE).read_bytes()
    (tmp_path / "cut").mkdir()
    for cut in (2000, len(whole) // 2, len(whole) - 5):
        (tmp_path / "cut" / FILE).write_bytes(whole[:cut])
        written(tmp_path / "cut", run)
        assert (tmp_path / "cut" / FILE).read_bytes() == whole


def test_a_line_of_a_child_is_golden(tmp_path: Path) -> None:
    written(tmp_path, recipe(children=1))
    line = (tmp_path / FILE).read_bytes().splitlines(keepends=True)[-1]
    assert line == (
        b'{"kind":"candidate","index":3,"task":"a","parents":[2,0],"mix":[0.5082132439479098,0.4917867560520902],"term":[0,777135084,0.3],'
        b'"split":"search","status":"done",'
        b'"scores":{"a":0.8991132747482276,"b":0.5349354470461966,"c":0.907698185631927},'
        b'"error":null,"seconds":0.0,"worker":"local","id":"8a4dbdb934498587","crc32":"fe77cf5f"}\n'
    )


def test_a_journal_of_the_form_before_goes_on_in_that_form(tmp_path: Path) -> None:
    run = recipe(children=40)
    before = {"kind": "header", "version": FULL, **header(run)}
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / FILE).write_bytes(encode(before))
    told = written(tmp_path / "run", run)
    found = lines(tmp_path / "run")
    assert found[0]["version"] == FULL
    assert all("terms" in line and "mix" not in line for line in found[1:])
    assert history(replayed(tmp_path / "run", run)) == history(CycleQD(run, told))
    half = (tmp_path / "run" / FILE).read_bytes().splitlines(keepends=True)[:20]
    (tmp_path / "half").mkdir()
    (tmp_path / "half" / FILE).write_bytes(b"".join(half))
    written(tmp_path / "half", run)
    assert (tmp_path / "half" / FILE).read_bytes() == (tmp_path / "run" / FILE).read_bytes()


def test_genomes_come_from_their_ancestors_where_few_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(journal_genomes, "_RECENT", 2)
    run = recipe(children=120)
    told = written(tmp_path, run)
    journal = Journal.open(tmp_path, header(run))
    found = list(journal.replay(run.family))
    journal.close()
    assert found[-1].candidate.genome == told[-1].candidate.genome  # none before it was asked for
    assert [item.candidate.genome for item in found] == [item.candidate.genome for item in told]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"mix": None}, "it lacks weights or mix"),
        ({"mix": [0.5]}, r"its mix is \[0.5\], of 2 parents"),
        ({"mix": [0.5, "x"]}, r"its mix is \[0.5, 'x'\]"),
        ({"mix": 0.5}, "its mix is 0.5"),
        ({"shift": "x"}, "its shift is 'x'"),
        ({"term": [0, 1]}, r"its term is \[0, 1\]"),
        ({"own": [0.5, 1]}, r"its own is \[0.5, 1\]"),
        ({"own": 1}, "its own is 1"),
        ({"id": "xyz"}, "its id is 'xyz'"),
        ({"parents": [2, 900]}, r"its parents are \[2, 900\]"),
        ({"parents": []}, r"its parents are \[\]"),
        ({"parents": [0, 9]}, "its parent 9 has no line before it"),
    ],
)
def test_what_a_line_says_of_a_childs_making_is_checked(
    change: dict[str, Any], said: str, tmp_path: Path
) -> None:
    run = recipe(children=20)
    written(tmp_path, run)
    found = [line for line in lines(tmp_path) if line.get("index") != 9]
    found[12] |= change
    if change == {"mix": None}:
        del found[12]["mix"]
    rewrite(tmp_path, found[:14])
    with pytest.raises(JournalError, match=f"line 13 is damaged: {said}"):
        check_journal(tmp_path)


@pytest.mark.parametrize("change", ["mix", "term", "id", "experts"])
def test_a_changed_number_is_found_though_the_checksum_is_right(
    change: str, tmp_path: Path
) -> None:
    run = recipe(children=60)
    written(tmp_path, run)
    found = lines(tmp_path)
    last = len(found) - 1
    at = 2 if change == "experts" else last
    number, told = at + 1, found[at]
    if change == "mix":
        told["mix"][0] += 1e-15
    elif change == "term":
        told["term"][1] += 1
    elif change == "id":
        told["id"] = "0" * 16
    else:
        told["weights"][1] = 0.9
    rewrite(tmp_path, found)
    with pytest.raises(JournalError, match=f"line {number} is damaged: its genome is"):
        check_journal(tmp_path)


def test_a_changed_ancestor_of_an_elite_keeps_the_run_from_going_on(tmp_path: Path) -> None:
    run = recipe(children=60)
    search = CycleQD(run, written(tmp_path, run))
    elite = next(e for e in search.elites(TASKS[0]) if e.index > 30)
    found = lines(tmp_path)
    place = next(i for i, line in enumerate(found) if line.get("index") == elite.parents[0])
    assert "mix" in found[place]
    found[place]["mix"][0] += 1e-15
    rewrite(tmp_path, found)
    with pytest.raises(JournalError, match=f"line {place + 1} is damaged: its genome is"):
        replayed(tmp_path, run)


def test_groups_of_tensors_come_again(tmp_path: Path) -> None:
    run = recipe(children=30)
    search = CycleQD(run)
    journal = Journal.open(tmp_path, header(run))
    groups = TensorGroups(("mlp",), ((0.5, 0.25, 0.125),))
    first = Genome(run.family, (0.5, 0.5, 0.5), (), (), groups)
    told = []
    while not search.done:
        candidate = search.ask()
        if candidate.index == 3:
            candidate = Candidate(3, candidate.task, first, candidate.parents)
            search._asked[3] = candidate
        journal.append(Record(candidate.genome, "search", scores(candidate), candidate))
        search.tell(candidate, scores(candidate))
        told.append(candidate)
    journal.close()
    view = RunView.read(tmp_path)
    assert sum(bool(item.genome.groups) for item in told) > 3
    assert [view.told[item.index].candidate.genome for item in told] == [c.genome for c in told]


def test_what_was_read_equals_what_was_made_and_can_be_changed(tmp_path: Path) -> None:
    run = recipe(children=10)
    told = written(tmp_path, run)
    found = RunView.read(tmp_path).told[9].candidate
    assert found == told[9].candidate and hash(found.genome) == hash(told[9].candidate.genome)
    other = Genome.uniform(run.family)
    assert replace(found, genome=other).genome == other and replace(found, task="b").genome == (
        found.genome
    )
