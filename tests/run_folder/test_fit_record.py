"""A fit in the journal: read as it was written, and refused in a line if it is damaged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.run_folder.fit_record import FitRecord
from mergekit_cycleqd.run_folder.journal_lines import decode, encode
from mergekit_cycleqd.run_folder.journal_reading import read_records

FAMILY = Family("base", ("a", "b"))
CLEANED = Family("base", ("a", "b"), task_vectors=TaskVectors("wudi", 0.1))
GROUPS = TensorGroups(("attn", "mlp"), ((0.1, 1 / 3), (2.0, -0.5)))
FIT = FitRecord(
    Genome(CLEANED, (0.7, 0.3), groups=GROUPS),
    {"red": 12, "green": 9},
    (0.5, 0.25),
    {1.0: 0.3, 0.5: 0.4},
    1.0,
    2.125,
)


def test_a_fit_is_read_as_it_was_written(tmp_path: Path) -> None:
    line = encode(FIT.to_json())
    assert FitRecord.from_json(decode(line, tmp_path, 2), FAMILY) == FIT
    alone = FitRecord(Genome(FAMILY, (0.7, 0.3)), {}, (1.0,), {1.0: 1.0}, 1.0, 0.0)
    assert FitRecord.from_json(decode(encode(alone.to_json()), tmp_path, 2), FAMILY) == alone


@pytest.mark.parametrize(
    "change",
    [
        {"weights": [0.7]},
        {"weights": [0.7, 0.4]},
        {"weights": [0.7, 10**400]},
        {"weights": None},
        {"groups": [["attn", [0.1, 0.3]]]},
        {"groups": [["attn"]]},
        {"groups": 3},
        {"losses": ["x"]},
        {"losses": None},
        {"held_back": [1.0]},
        {"samples": [1]},
        {"samples": {"red": "many"}},
        {"kept": {}},
        {"seconds": "long"},
        {"wudi": "much"},
        {"wudi": 0.2},
        {"id": "0" * 16},
    ],
    ids=str,
)
def test_a_damaged_fit_is_told_in_one_line(change: dict[str, Any], tmp_path: Path) -> None:
    content = FIT.to_json() | change
    with pytest.raises((JournalError, GenomeError)):
        FitRecord.from_json(content, FAMILY)
    path = tmp_path / "journal.jsonl"
    path.write_bytes(encode({"kind": "header"}) + encode(content) + encode(content))
    with pytest.raises(JournalError) as error:
        list(read_records(path, FAMILY))
    assert str(error.value).startswith(f"{path}: line 2 is damaged: ")
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("key", [key for key in FIT.to_json() if key not in ("kind", "groups")])
def test_a_fit_without_a_field_is_damaged(key: str) -> None:
    content = FIT.to_json()
    del content[key]
    with pytest.raises((JournalError, GenomeError)):
        FitRecord.from_json(content, FAMILY)
