"""Lines of runs with many tasks name none of them, and say the same."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_check import check_journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE, VERSION, read_records
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_scores import pack
from mergekit_cycleqd.run_folder.task_lists import NAMED
from mergekit_cycleqd.run_folder.task_lists import VERSION as LISTED
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import history

ASKED = range(100)


def run_of(tasks: int, children: int = 12) -> Recipe:
    names = [f"a-task-{k}" for k in range(tasks)]
    task = {"task": "x", "metric": "acc", "samples": {"search": "0-99"}, "range": [0, 1], "bins": 3}
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": name, "task": name} for name in names[:3]],
            "tasks": [{"name": name, **task} for name in names],
            "evolution": {"children": children, "seed": 4, "archive": {"kind": "cvt", "cells": 20}},
        }
    )


def header_of(run: Recipe) -> dict[str, Any]:
    asked = AskedSamples({"search": dict.fromkeys(run.task_names, ASKED)})
    content = {"recipe": run.model_dump(mode="json"), "fingerprints": {}, "versions": {}}
    return content | {"samples": asked.written()}


def record_of(run: Recipe, candidate: Candidate) -> Record:
    """A model's answers to every sample of every task; each fifth model is stopped early."""
    drawn = random.Random(candidate.genome.id)
    answers = {t: [float(drawn.random() < 0.4) for _ in ASKED] for t in run.task_names}
    if candidate.index % 5 == 4:
        bounds = {task: (0.1, drawn.random()) for task in run.task_names}
        return Record(candidate.genome, "search", None, candidate, bounds=bounds)
    scores = {task: drawn.random() for task in run.task_names}
    packed = pack(answers)
    return Record(candidate.genome, "search", scores, candidate, samples=packed)


def go(folder: Path, run: Recipe) -> CycleQD:
    """Begin or go on with a run to its end."""
    journal = Journal.open(folder, header_of(run))
    search = CycleQD(run, journal.replay(run.family))
    while not search.done:
        record = record_of(run, search.ask())
        assert record.candidate is not None
        journal.append(record)
        search.tell(record.candidate, record.scores)
    journal.close()
    return search


def contents(folder: Path) -> list[dict[str, Any]]:
    found = [json.loads(line) for line in (folder / FILE).read_bytes().splitlines()]
    for line in found:
        del line["crc32"]
    return found


def rewritten(folder: Path, lines: list[dict[str, Any]]) -> None:
    folder.mkdir()
    (folder / FILE).write_bytes(b"".join(map(encode, lines)))


@pytest.fixture(scope="module")
def of_twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of twenty tasks."""
    folder = tmp_path_factory.mktemp("twenty") / "whole"
    go(folder, run_of(20))
    return folder


@pytest.mark.parametrize("tasks", [NAMED, NAMED + 1])
def test_many_tasks_are_lists_in_lines_and_few_are_named(tasks: int, tmp_path: Path) -> None:
    run = run_of(tasks)
    search = go(tmp_path / "whole", run)
    header, *lines = contents(tmp_path / "whole")
    many = tasks > NAMED
    assert header["version"] == (LISTED if many else VERSION)
    for line in lines:
        found = [line.get(key) for key in ("scores", "samples", "bounds") if line.get(key)]
        assert found and all(isinstance(one, list if many else dict) for one in found)
        assert all(len(one) == tasks for one in found)
    assert {line["status"] for line in lines} == {"done", "stopped"}
    whole = (tmp_path / "whole" / FILE).read_bytes()
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / FILE).write_bytes(whole[: len(whole) * 2 // 3])
    assert history(go(tmp_path / "cut", run)) == history(search)
    assert (tmp_path / "cut" / FILE).read_bytes() == whole
    view = RunView.read(tmp_path / "whole")
    for outcome in view.told.values():
        assert outcome.scores == record_of(run, outcome.candidate).scores
    assert "every checksum right" in check_journal(tmp_path / "whole")


def test_a_journal_with_names_goes_on_with_names(of_twenty: Path, tmp_path: Path) -> None:
    """One of an earlier version, which had them whatever the number of tasks."""
    run = run_of(20)
    header, *lines = contents(of_twenty)
    for line in lines:
        for key in ("scores", "samples", "bounds"):
            if isinstance(line.get(key), list):
                line[key] = dict(zip(run.task_names, line[key], strict=True))
    before = [header | {"version": VERSION}, *lines]
    rewritten(tmp_path / "before", before[:8])
    go(tmp_path / "before", run)
    assert contents(tmp_path / "before") == before
    sizes = [len(encode(content[-2])) for content in (before, contents(of_twenty))]
    assert sizes[0] > 1.3 * sizes[1]


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("scores", [0.5] * 19, "its scores are of 19 tasks, and not of 20"),
        ("scores", [0.5] * 19 + ["x"], "its score of a-task-19 is 'x'"),
        ("samples", [], "its samples are of 0 tasks, and not of 20"),
        ("samples", ["q"] * 20, "its samples of a-task-0: "),
        ("bounds", [[0, 1]] * 21, "its bounds are of 21 tasks, and not of 20"),
    ],
)
def test_a_list_that_does_not_fit_the_tasks_is_one_line(
    key: str, value: list[Any], said: str, of_twenty: Path, tmp_path: Path
) -> None:
    lines = contents(of_twenty)
    lines[2][key] = value
    rewritten(tmp_path / "spoilt", lines)
    with pytest.raises(JournalError, match=f"line 3 is damaged: {said}"):
        check_journal(tmp_path / "spoilt")


def test_lists_without_names_in_the_header_are_one_line(of_twenty: Path, tmp_path: Path) -> None:
    header, *lines = contents(of_twenty)
    rewritten(tmp_path / "named", [header | {"version": VERSION}, *lines])
    with pytest.raises(JournalError, match=r"line 2 is damaged: its scores is |its samples are "):
        check_journal(tmp_path / "named")
    header["recipe"]["tasks"] = 3
    rewritten(tmp_path / "spoilt", [header, *lines])
    with pytest.raises(JournalError, match="line 1 "):
        check_journal(tmp_path / "spoilt")
    with pytest.raises(JournalError, match="line 1 is damaged: its recipe names no tasks"):
        next(read_records(tmp_path / "spoilt" / FILE, run_of(20).family))
