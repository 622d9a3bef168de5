"""The ids of a run's samples in its header, and lines with scores of samples."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import SampleIds
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import recipe as run_recipe

ASKED = AskedSamples(
    {"search": {"a": [0, 1, 2, 5], "b": [7, 8]}, "holdout": {"b": [9, 10, 11]}},
    {"a": [[10, 11, 12, 13], [14, 15, 16, 17]]},
)
WRITTEN = {
    "search": {"a": "0-2,5", "b": "7-8"},
    "holdout": {"b": "9-11"},
    "again": {"a": ["10-13", "14-17"]},
}


def test_ids_stand_in_the_header_once_in_spans() -> None:
    assert ASKED.written() == WRITTEN
    assert AskedSamples.read({"samples": json.loads(json.dumps(WRITTEN))}) == ASKED
    assert str(SampleIds.of([5, 1, 0, 2, 5])) == "0-2,5"


def test_a_repeated_evaluation_is_asked_the_blocks_in_turn() -> None:
    assert ASKED.of("a", "search") == [0, 1, 2, 5]
    assert [ASKED.of("a", "search", repeat)[0] for repeat in (1, 2, 3)] == [10, 14, 10]
    assert ASKED.of("b", "search", 1) == [7, 8], "no fresh ones"
    assert ASKED.of("a", "holdout") == ()


@pytest.mark.parametrize(
    "content",
    [7, [], {"search": 3}, {"search": {"a": "5-"}}, {"search": {"a": "0-99999999999"}},
     {"search": {"a": "x"}}, {"again": {"a": 4}}, {"again": [1]},
     {"again": {"a": ["0-999999"] * 3}}],
)  # fmt: skip
def test_other_headers_are_damaged(content: Any) -> None:
    with pytest.raises(ValueError, match="its samples are no ids"):
        AskedSamples.read({"samples": content})


def journal_of(folder: Path, **header: Any) -> Journal:
    recipe = run_recipe()
    return Journal.open(
        folder,
        {"recipe": recipe.model_dump(mode="json"), "fingerprints": {}, "versions": {}, **header},
    )


def samples_of(tasks: Any, ids: str = "0-9") -> dict[str, Any]:
    return {"samples": {"search": dict.fromkeys(tasks, ids)}}


def told(folder: Path, packed: Any, **header: Any) -> bytes:
    """Append one expert with scores of samples; the last line."""
    recipe = run_recipe()
    journal = journal_of(folder, **header)
    list(journal.replay(recipe.family))
    candidate = CycleQD(recipe).ask()
    scores = dict.fromkeys(recipe.task_names, 0.5)
    journal.append(Record(candidate.genome, "search", scores, candidate, samples=packed))
    journal.close()
    return (folder / FILE).read_bytes().splitlines()[-1]


def test_a_line_has_what_each_sample_scored_if_the_header_has_their_ids(tmp_path: Path) -> None:
    tasks = run_recipe().task_names
    packed = dict.fromkeys(tasks, "qo")
    line = told(tmp_path / "new", packed, **samples_of(tasks))
    assert json.loads(line)["samples"] == packed
    view = RunView.read(tmp_path / "new")
    genome = Genome.from_expert(view.recipe.family, 0)
    found = view.samples.of(genome.id, "search")
    assert list(found) == list(tasks) and found[tasks[0]].tolist() == [1, 0] * 4 + [1, 0]
    assert view.samples.of(genome.id, "holdout") == {}


def test_a_run_that_began_without_ids_goes_on_without_scores_of_samples(tmp_path: Path) -> None:
    tasks = run_recipe().task_names
    journal_of(tmp_path / "old").close()
    packed = dict.fromkeys(tasks, "qo")
    line = told(tmp_path / "old", packed, **samples_of(tasks))
    assert line == told(tmp_path / "plain", None), "the same bytes as by a version without them"
    view = RunView.read(tmp_path / "old")
    assert not view.samples.of(Genome.from_expert(view.recipe.family, 0).id, "search")


def test_a_run_is_not_gone_on_with_on_other_samples(tmp_path: Path) -> None:
    """Ids without an end reach further where a task has grown: the scores would be of others."""
    tasks = run_recipe().task_names
    journal_of(tmp_path, **samples_of(tasks)).close()
    with pytest.raises(JournalError) as error:
        journal_of(tmp_path, **samples_of(tasks, "0-11"))
    assert f"samples.search.{tasks[0]}: was '0-9', is '0-11'" in str(error.value)


@pytest.mark.parametrize(
    "samples", [[], {"a": "qo"}, {"t": 3}, {"t": "qoo"}, {"t": ["__", "q"]}, {"t": [0, 1, "AA"]}]
)
def test_scores_of_samples_that_cannot_be_read_are_damage(tmp_path: Path, samples: Any) -> None:
    tasks = run_recipe().task_names
    told(tmp_path, None, **samples_of(tasks))
    first, second = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    content = {key: value for key, value in json.loads(second).items() if key != "crc32"}
    named = samples and {tasks[0] if key == "t" else "other": v for key, v in samples.items()}
    (tmp_path / FILE).write_bytes(first + encode(content | {"samples": named or 7}))
    with pytest.raises(JournalError, match=r"line 2 is damaged: it.*samples"):
        RunView.read(tmp_path)


def test_an_elite_that_is_evaluated_again_keeps_the_samples_of_its_first_evaluation(
    tmp_path: Path,
) -> None:
    tasks = run_recipe().task_names
    journal = journal_of(tmp_path, **samples_of(tasks))
    candidate = CycleQD(run_recipe()).ask()
    again = Candidate(5, tasks[0], candidate.genome, (0,), again=0, repeat=1)
    scores = dict.fromkeys(tasks, 0.5)
    for each, packed in ((candidate, "qo"), (again, "_8")):
        samples = dict.fromkeys(tasks, packed)
        journal.append(Record(each.genome, "search", scores, each, samples=samples))
    assert journal.samples.of(candidate.genome.id, "search")[tasks[0]].sum() == 5
    assert b'"samples":{"a":"_8"' in (tmp_path / FILE).read_bytes(), "the line has its own"
    journal.close()
