"""Lines of a journal: what is kept of an evaluation, and what is no line of a journal."""

from __future__ import annotations

import json
import zlib
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate, mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.run_folder.journal_lines import decode, encode, end_of_last_line, torn
from mergekit_cycleqd.run_folder.means import Means
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.candidate import Candidate

FAMILY = Family("base", ("a", "b"))
GENOME = mutate(Genome(FAMILY, (0.5, 0.25)), Term(0, 7, 0.1))
CHILD = Candidate(5, "a", GENOME, (0, 1))
RECORD = Record(GENOME, "search", {"a": 0.5, "b": 0.25}, CHILD, seconds=1.23456, worker="gpu-0")


def content(record: Record = RECORD, **change: Any) -> dict[str, Any]:
    return json.loads(json.dumps(record.to_json())) | change


def test_the_form_of_a_line_has_not_changed() -> None:
    """Golden: journals of today must be read for years."""
    assert encode(RECORD.to_json()) == (
        b'{"kind":"candidate","index":5,"task":"a","parents":[0,1],"split":"search",'
        b'"status":"done","scores":{"a":0.5,"b":0.25},"error":null,"seconds":1.235,'
        b'"worker":"gpu-0","id":"1fba202d37cee072","weights":[0.5,0.25],"terms":[[0,7,0.1]],'
        b'"crc32":"babe1ae7"}\n'
    )


def test_a_model_that_is_only_compared_is_no_candidate() -> None:
    record = Record(GENOME, "holdout", {"a": 0.5})
    found = content(record)
    assert found["kind"] == "evaluation" and "index" not in found
    assert Record.from_json(found, FAMILY) == record
    assert record.told is None


def test_what_is_rare_stands_in_a_line_only_where_it_is() -> None:
    rare = {"again", "repeat", "tsv", "lineage", "bounds"}
    assert not rare & set(content())
    own = mutate_own(
        Genome(replace(FAMILY, task_vectors=TaskVectors("tsv", 0.5)), (0.5, 0.25)), 9, 0.3
    )
    again = Candidate(7, "a", own, (5,), 5, 1)
    record = Record(own, "search", None, again, bounds={"a": (0.0, 0.5), "b": (0.25, 1.0)})
    assert set(content(record)) >= rare
    assert Record.from_json(content(record), FAMILY) == replace(record, seconds=0.0)


@pytest.mark.parametrize(
    ("record", "status"),
    [
        (RECORD, "done"),
        (replace(RECORD, scores=None, error="broke"), "failed"),
        (replace(RECORD, scores=None, bounds={"a": (0.0, 1.0)}), "stopped"),
    ],
)
def test_an_evaluation_is_done_or_stopped_or_failed(record: Record, status: str) -> None:
    assert record.status == content(record)["status"] == status
    assert record.told is not None and record.told.scores == record.scores


def test_a_failed_expert_is_not_told_so_that_it_is_tried_again() -> None:
    expert = replace(CHILD, parents=())
    assert replace(RECORD, candidate=expert, scores=None).told is None
    assert replace(RECORD, candidate=expert).told is not None


@pytest.mark.parametrize(
    "change",
    [
        {"seconds": 10**400},
        {"seconds": True},
        {"seconds": "1"},
        {"worker": 3},
        {"error": 3},
        {"task": 3},
        {"index": None},
        {"index": True},
        {"index": 5.0},
        {"parents": None},
        {"parents": [-1]},
        {"parents": [True]},
        {"scores": {"a": 10**400}},
        {"scores": {"a": None}},
        {"weights": [10**400, 0.25]},
        {"terms": [[0, 7]]},
        {"terms": [[0, 7, 0.1, 1]]},
        {"terms": [7]},
        {"terms": [[0.0, 7, 0.1]]},
        {"terms": [[0, 7.0, 0.1]]},
        {"terms": [[0, 7, "x"]]},
        {"tsv": "x"},
        {"tsv": 10**400},
        {"lineage": 3},
        {"bounds": []},
        {"bounds": {"a": [0.0]}},
        {"bounds": {"a": [0.0, 1.0, 2.0]}},
        {"bounds": {"a": [0.0, "x"]}},
        {"bounds": {"a": 1.0}},
        {"again": 5, "repeat": 1, "parents": [5]},
        {"again": 6, "repeat": 1, "parents": [6]},
        {"again": 4, "repeat": 0, "parents": [4]},
        {"again": 4, "repeat": 1},
        {"again": 4, "parents": [4]},
        {"repeat": 1, "parents": [4]},
        {"again": 4.0, "repeat": 1, "parents": [4]},
        {"again": 4, "repeat": True, "parents": [4]},
    ],
    ids=str,
)
def test_a_field_that_is_not_what_it_must_be_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(JournalError, match=r"^its |^it is repeat"):
        Record.from_json(content(**change), FAMILY)


@pytest.mark.parametrize("name", ["kind", "split", "scores", "error", "seconds", "worker", "id"])
def test_a_field_that_lacks_is_named(name: str) -> None:
    fields = content()
    del fields[name]
    with pytest.raises(JournalError, match=f"it lacks {name}"):
        Record.from_json(fields, FAMILY)


@pytest.mark.parametrize(
    "change",
    [
        {"index": 0, "parents": []},
        {"parents": [0]},
        {"again": 4, "repeat": 1, "parents": [4]},
        {"seconds": 3},
        {"bounds": None},
        {"bounds": {}},
        {"bounds": {"a": [0, 1]}},
        {"split": "holdout"},
        {"error": "broke"},
    ],
    ids=str,
)
def test_fields_that_may_be_are_taken(change: dict[str, Any]) -> None:
    found = Record.from_json(content(**change), FAMILY)
    assert found.genome == GENOME


def test_a_genome_that_is_another_than_its_id_says_is_refused() -> None:
    with pytest.raises(GenomeError, match=f"its genome is {GENOME.id}, not abc"):
        Record.from_json(content(id="abc"), FAMILY)


def test_scores_of_repeats_are_means_and_a_fresh_evaluation_replaces_them() -> None:
    means, id = Means(), GENOME.id
    key = (id, "search")
    means.add(id, "search", {"a": 0.5})
    means.add(id, "search", {"a": 1.0}, again=True)
    assert means[key] == {"a": 0.75}
    means.add(id, "search", None)
    assert means[key] == {"a": 0.75}
    means.add(id, "search", {"a": 0.25}, again=True)
    assert means[key]["a"] == pytest.approx(1.75 / 3)
    means.add(id, "search", {"a": 0.125})
    assert means[key] == {"a": 0.125}
    means.add(id, "search", {"a": 0.375}, again=True)
    assert means[key] == {"a": 0.25}


def test_means_are_a_mapping_of_all_scores_bit_for_bit_whatever_their_tasks() -> None:
    means, put = Means(), {}
    for number in range(40):
        split = ("search", "holdout")[number % 2]
        tasks = ("a", "b") if number % 5 else ("b", "c", "d")
        scores = {task: (number + len(put)) / 7 for task in tasks}
        for id in (f"{number:016x}", f"{number * 2**58 % 2**64:016x}"):
            means.add(id, split, scores)
            put[id, split] = scores
    assert dict(means) == put and len(means) == len(put)
    assert means.get(("f" * 16, "search")) is None
    assert ("0" * 16, "other") not in means
    means.add("0" * 16, "search", {"a": 0.5, "b": 0.25})  # and had other tasks before
    assert means["0" * 16, "search"] == {"a": 0.5, "b": 0.25}
    assert len(means) == len(put)


# ---- lines ----


def test_a_line_ends_with_the_checksum_of_all_before_it() -> None:
    line = encode({"kind": "x", "text": "ü"})
    body, tail = line.split(b',"crc32":"')
    assert body == '{"kind":"x","text":"ü"'.encode()
    assert tail == f'{zlib.crc32(body):08x}"}}\n'.encode()
    assert decode(line, Path("j"), 3) == {"kind": "x", "text": "ü"}


def test_a_checksum_has_eight_digits_whatever_it_is() -> None:
    short = next(n for n in range(1000) if zlib.crc32(b'{"n":%d' % n) < 2**28)
    assert decode(encode({"n": short}), Path("j"), 1) == {"n": short}


def test_a_line_without_or_with_another_checksum_is_named() -> None:
    line = encode({"n": 1})
    with pytest.raises(JournalError, match="j: line 3 is damaged: it does not end with its check"):
        decode(b'{"n":1}\n', Path("j"), 3)
    with pytest.raises(JournalError, match="j: line 4 is damaged: its checksum is another"):
        decode(line.replace(b'"n":1', b'"n":2'), Path("j"), 4)
    body = b"nonsense"
    odd = body + b',"crc32":"' + f'{zlib.crc32(body):08x}"}}\n'.encode()
    with pytest.raises(JournalError, match="j: line 5 is damaged: Expecting value"):
        decode(odd, Path("j"), 5)


def test_a_line_is_torn_without_its_end_or_with_zeros_in_it() -> None:
    assert torn(b'{"n":1}') and torn(b"{\0\0}\n") and torn(b"")
    assert not torn(b'{"n":1}\n')


@pytest.mark.parametrize("block", [1, 2, 3, 7, 64])
@pytest.mark.parametrize(
    ("text", "end"),
    [
        (b"", 0),
        (b"\n", 1),
        (b"one\n", 4),
        (b"one\ntwo\n", 8),
        (b"one\ntw", 4),
        (b"tw", 0),
        (b"one\nt\0o\n", 4),
        (b"one\n\n", 5),
        (b"one\ntwo\nthr", 8),
    ],
)
def test_where_the_last_whole_line_ends(text: bytes, end: int, block: int, tmp_path: Path) -> None:
    path = tmp_path / "lines"
    path.write_bytes(text)
    assert end_of_last_line(path, block) == end
