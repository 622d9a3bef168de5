from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.journal_check import check_journal
from mergekit_cycleqd.run_folder.journal_lines import encode, end_of_last_line
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.candidate import Candidate, Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.recipes import RecipeMaker

FAMILY = Family("base", ("a", "b"))
HEADER: dict[str, Any] = {
    "recipe": {"evolution": {"children": 10, "lag": 1}, "tasks": [{"name": "a"}]},
    "fingerprints": {"base": "1234"},
    "versions": {},
}


def record(
    index: int, scores: dict[str, float] | None = None, parents: tuple[int, ...] = (0, 1)
) -> Record:
    genome = mutate(Genome.uniform(FAMILY), Term(0, index, 0.1 + 0.2))
    candidate = Candidate(index, "a", genome, parents)
    return Record(genome, "search", scores, candidate, None if scores else "broke", seconds=1.5)


def written(folder: Path, count: int = 4) -> list[Record]:
    records = [record(i, {"a": i / 3, "b": 0.1 + 0.2}) for i in range(count)]
    journal = Journal.open(folder, HEADER)
    for item in records:
        journal.append(item)
    journal.close()
    return records


def read(folder: Path, header: dict[str, Any] = HEADER) -> list[Outcome]:
    journal = Journal.open(folder, header)
    try:
        return list(journal.replay(FAMILY))
    finally:
        journal.close()


def told(records: list[Record]) -> list[Outcome]:
    return [Outcome(item.candidate, item.scores) for item in records if item.candidate]


def test_records_come_back_bit_for_bit(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    records = written(tmp_path)
    assert read(tmp_path) == told(records)


def test_a_journal_cut_anywhere_loses_at_most_the_line_that_was_being_written(
    tmp_path: Path,
) -> None:
    records = written(tmp_path / "whole")
    content = (tmp_path / "whole" / FILE).read_bytes()
    starts = [0]
    while (end := content.find(b"\n", starts[-1])) >= 0:
        starts.append(end + 1)
    for cut in range(starts[2], len(content) + 1):
        folder = tmp_path / "cut"
        folder.mkdir(exist_ok=True)
        (folder / FILE).write_bytes(content[:cut])
        kept = sum(start <= cut for start in starts[2:])
        assert read(folder) == told(records[:kept])
        assert (folder / FILE).read_bytes() == content[: starts[kept + 1]]


def test_a_torn_header_is_a_new_run(tmp_path: Path) -> None:
    written(tmp_path)
    content = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(content[:20])
    assert read(tmp_path) == []
    assert (tmp_path / FILE).read_bytes() == content[: content.index(b"\n") + 1]


def test_damage_before_the_last_line_is_named(tmp_path: Path) -> None:
    written(tmp_path)
    lines = (tmp_path / FILE).read_bytes().split(b"\n")
    lines[2] = lines[2].replace(b'"weights":[0.5', b'"weights":[0.6')
    (tmp_path / FILE).write_bytes(b"\n".join(lines))
    with pytest.raises(JournalError, match=r"journal.jsonl: line 3 is damaged"):
        read(tmp_path)


def test_another_recipe_is_refused_with_the_difference(tmp_path: Path) -> None:
    written(tmp_path)
    other = json.loads(json.dumps(HEADER))
    other["recipe"]["evolution"]["lag"] = 2
    other["fingerprints"]["base"] = "5678"
    with pytest.raises(JournalError) as caught:
        read(tmp_path, other)
    assert "recipe.evolution.lag: was 1, is 2" in str(caught.value)
    assert "models.base: was '1234', is '5678'" in str(caught.value)


def test_more_children_are_no_other_recipe(tmp_path: Path) -> None:
    records = written(tmp_path)
    longer = json.loads(json.dumps(HEADER))
    longer["recipe"]["evolution"]["children"] = 20
    assert read(tmp_path, longer) == told(records)


def test_a_run_goes_on_with_keys_that_came_later(
    make_named_recipe: RecipeMaker, tmp_path: Path
) -> None:
    recipe = load_recipe(make_named_recipe()).model_dump(mode="json", exclude={"workers"})
    now = HEADER | {"recipe": recipe}
    before = json.loads(json.dumps(now))
    del before["recipe"]["evolution"]["early_stop"], before["recipe"]["engine"]["batching"]
    Journal.open(tmp_path / "run", before).close()
    assert read(tmp_path / "run", now) == []
    recipe["evolution"]["early_stop"] = True
    with pytest.raises(JournalError, match="early_stop: was False, is True"):
        read(tmp_path / "run", now)


def test_a_second_process_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from mergekit_cycleqd.errors import JournalError\n"
        "from mergekit_cycleqd.run_folder.journal import Journal\n"
        "try: Journal.open(Path(sys.argv[1]), {})\n"
        "except JournalError as error: print(error)"
    )
    journal = Journal.open(tmp_path, HEADER)
    other = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=True
    )
    assert f"in use by another process (pid {os.getpid()})" in other.stdout
    journal.close()


def test_failed_children_are_kept_and_failed_experts_are_tried_again(tmp_path: Path) -> None:
    journal = Journal.open(tmp_path, HEADER)
    journal.append(record(0, None, parents=()))
    journal.append(record(5, None))
    journal.close()
    assert [(item.candidate.index, item.scores) for item in read(tmp_path)] == [(5, None)]


def test_scores_are_found_by_genome_and_split(tmp_path: Path) -> None:
    (first, *_) = written(tmp_path)
    journal = Journal.open(tmp_path, HEADER)
    list(journal.replay(FAMILY))
    journal.close()
    assert journal.scores(first.genome, "search") == first.scores
    assert journal.scores(first.genome, "holdout") is None
    assert journal.scores(Genome.from_base(FAMILY), "search") is None


def test_the_last_whole_line_is_found_across_blocks(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    for content, end in ((b"", 0), (b"ab", 0), (b"ab\n", 3), (b"ab\ncdefghij", 3), (b"\n" * 9, 9)):
        path.write_bytes(content)
        assert end_of_last_line(path, block=4) == end


def test_any_flipped_bit_is_found_and_its_line_named(tmp_path: Path) -> None:
    written(tmp_path, count=2)
    content = (tmp_path / FILE).read_bytes()
    last = content.rfind(b"\n", 0, -1) + 1
    for place in range(len(content) - 1):
        flipped = bytearray(content)
        flipped[place] ^= 1 << place % 8
        (tmp_path / FILE).write_bytes(flipped)
        if flipped.count(b"\n") != content.count(b"\n"):
            continue  # a line cut in two: its first half is found, below
        line = content.count(b"\n", 0, place) + 1
        with pytest.raises(JournalError, match=rf"line {line} is damaged"):
            read(tmp_path)
    assert last < place


def test_a_line_cut_in_two_is_found(tmp_path: Path) -> None:
    written(tmp_path)
    content = bytearray((tmp_path / FILE).read_bytes())
    content[content.index(b"candidate")] = ord("\n")
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(JournalError, match="line 2 is damaged"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"split": "train"}, "its split is 'train'"),
        ({"scores": {"a": "high"}}, "its score of a is 'high'"),
        ({"scores": [1]}, r"its scores is \[1\]"),
        ({"index": -1}, "its candidate is -1"),
        ({"parents": [0.5]}, r"its parents are \[0.5\]"),
        ({"weights": ["x", 1.0]}, "is damaged"),
        ({"weights": [1.0]}, "needs 2 finite weights"),
        ({"terms": [[0, 1]]}, "is damaged"),
        ({"kind": "note"}, "its kind is 'note'"),
        ({"id": "0" * 16}, "not 0000000000000000 as it says"),
    ],
)
def test_every_field_is_checked(change: dict[str, Any], said: str, tmp_path: Path) -> None:
    written(tmp_path, count=1)
    header, line = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    content = json.loads(line) | change
    del content["crc32"]
    (tmp_path / FILE).write_bytes(header + encode(content))
    with pytest.raises(JournalError, match=f"line 2 is damaged: .*{said}|{said}"):
        read(tmp_path)


def test_a_newer_version_is_refused(tmp_path: Path) -> None:
    written(tmp_path)
    lines = (tmp_path / FILE).read_bytes().splitlines(keepends=True)
    header = json.loads(lines[0]) | {"version": 4}
    del header["crc32"]
    (tmp_path / FILE).write_bytes(encode(header) + b"".join(lines[1:]))
    with pytest.raises(JournalError, match="needs a header of version 1, 2 or 3, got 4"):
        read(tmp_path)


def test_a_journal_of_a_run_that_went_on_with_more_children_is_checked_whole(
    make_named_recipe: RecipeMaker, tmp_path: Path
) -> None:
    recipe = load_recipe(make_named_recipe(lambda content: content["evolution"].update(children=2)))
    longer = recipe.holding(3 + 5)
    header = {"recipe": recipe.model_dump(mode="json"), "fingerprints": {}, "versions": {}}
    search = CycleQD(longer)
    journal = Journal.open(tmp_path / "run", header)
    while not search.done:
        candidate = search.ask()
        scores = dict.fromkeys(search.tasks, 0.5)
        journal.append(Record(candidate.genome, "search", scores, candidate))
        search.tell(candidate, scores)
    journal.close()
    assert "5 of 5 children told" in check_journal(tmp_path / "run")
