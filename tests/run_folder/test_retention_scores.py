"""What models kept of the base: scores of other tasks, their columns, and the file they lie in."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.errors import CycleQDError, JournalError
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.retention import (
    FILE,
    Measured,
    RetentionFile,
    changed_settings,
    columns,
    comparable,
    key,
    mean_relative,
    read,
)


def measured(genome: str = "base", value: float = 0.5, **change: Any) -> Measured:
    """One model on `gsm8k`, 100 documents."""
    metric = change.get("metric", "acc,none")
    record = Measured(
        genome, "gsm8k", {"limit": 100}, {metric: (value, 0.04)}, metric, True, 100, 1
    )
    return replace(record, **change)


def test_a_share_of_the_documents_has_wilsons_interval() -> None:
    score = measured(value=0.5).score
    assert (score.value, score.samples) == (0.5, 100)
    assert score.interval == pytest.approx((0.4038, 0.5962), abs=1e-4)


def test_any_other_score_has_the_interval_of_its_standard_error() -> None:
    score = measured(value=12.34).score
    assert score.interval == pytest.approx((12.34 - 1.959964 * 0.04, 12.34 + 1.959964 * 0.04))
    assert measured(value=0.123456).score.interval == pytest.approx((0.0450574, 0.2018546))


def test_without_a_standard_error_such_a_score_has_no_interval() -> None:
    record = measured(scores={"acc,none": (12.34, None), "other": (1.0, 0.5)})
    assert record.score.interval is None and record.error is None
    assert measured().error == 0.04


def test_what_is_evaluated_only_once_is_named_by_genome_task_and_settings() -> None:
    record = measured()
    assert record.key == key("base", "gsm8k", {"limit": 100}) == "c14cc39047754e41"
    assert record.key != measured(settings={"limit": 50}).key
    assert key("g", "t", {"a": 1, "b": 2}) == key("g", "t", {"b": 2, "a": 1})


def test_a_score_is_relative_to_the_bases_and_above_one_is_better() -> None:
    (higher,) = columns([measured(value=0.5), measured("x", 0.6), measured("zero", 0.0)])
    assert higher.relative("x", "base") == pytest.approx(1.2)
    assert higher.relative("base", "x") == pytest.approx(1 / 1.2)
    assert higher.relative("zero", "base") == 0.0
    assert higher.relative("base", "zero") is None
    assert higher.relative("unknown", "base") is higher.relative("base", "unknown") is None
    records = [measured(value=8.0), measured("x", 4.0), measured("zero", 0.0)]
    (lower,) = columns([replace(record, higher_is_better=False) for record in records])
    assert lower.relative("x", "base") == pytest.approx(2.0)
    assert lower.relative("zero", "base") is None


def test_titles_say_how_many_documents_and_which_way_is_better() -> None:
    (one,) = columns([measured()])
    assert one.title == "gsm8k (n=100)"
    (other,) = columns([measured(higher_is_better=False, samples=7)])
    assert other.title == "gsm8k (n=7, lower is better)"


def test_a_column_is_of_the_settings_with_most_documents_and_of_those_the_last() -> None:
    few = measured(settings={"limit": 50}, samples=50)
    old, new = measured(settings={"version": 1}), measured(settings={"version": 2})
    other = measured(task="mmlu", settings={"limit": 1}, samples=1)
    (first, second) = columns([few, old, measured("x", settings={"version": 1}), new, other, few])
    assert (first.task, second.task) == ("gsm8k", "mmlu")
    assert first.samples == 100 and dict(first.measured) == {"base": new}
    (kept,) = columns([old, few])
    assert dict(kept.measured) == {"base": old}


def test_a_model_measured_twice_has_its_last_score() -> None:
    (one,) = columns([measured("x", 0.2), measured("x", 0.3)])
    assert one.measured["x"].score.value == 0.3


def test_the_mean_is_over_tasks_on_which_the_base_scores_and_needs_all_of_them() -> None:
    table = columns(
        [
            measured(value=0.5),
            measured("x", 0.25),
            measured(task="mmlu", value=0.4),
            measured("x", task="mmlu", value=0.5),
            measured(task="none", value=0.0),
            measured("x", task="none", value=0.9),
        ]
    )
    assert [column.task for column in comparable(table, "base")] == ["gsm8k", "mmlu"]
    assert mean_relative(table, "x", "base") == pytest.approx((0.5 + 1.25) / 2)
    assert mean_relative(table, "base", "base") == 1.0
    assert mean_relative([*table, *columns([measured(task="new")])], "x", "base") is None
    assert mean_relative([], "x", "base") is None
    assert mean_relative(table[2:], "x", "base") is None


# ---- the file ----


def test_records_come_back_from_the_file_in_their_order(tmp_path: Path) -> None:
    assert read(tmp_path) == []
    file = RetentionFile(tmp_path)
    assert file.records == []
    records = [measured(), measured("x", 0.6, scores={"acc,none": (0.6, None)})]
    for record in records:
        file.append(record)
        assert read(tmp_path)[-1] == record, "it is on disk at once"
    assert file.records == records
    file.close()
    again = RetentionFile(tmp_path)
    assert again.records == records
    again.close()


def test_one_process_at_a_time_has_the_file_open(tmp_path: Path) -> None:
    file = RetentionFile(tmp_path)
    with pytest.raises(CycleQDError, match="another eval of this run is going on"):
        RetentionFile(tmp_path)
    file.close()
    RetentionFile(tmp_path).close()


def test_a_torn_last_line_is_left_out_and_dropped_by_who_goes_on(tmp_path: Path) -> None:
    file = RetentionFile(tmp_path)
    file.append(measured())
    file.close()
    whole = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).write_bytes(whole + whole[:30])
    assert read(tmp_path) == [measured()]
    file = RetentionFile(tmp_path)
    file.append(measured("x"))
    file.close()
    assert read(tmp_path) == [measured(), measured("x")]


def test_damage_is_named_with_its_line_and_gives_the_file_free(tmp_path: Path) -> None:
    good = encode(fields())
    (tmp_path / FILE).write_bytes(good + good.replace(b"gsm8k", b"gsm9k") + good)
    for _ in range(2):
        with pytest.raises(JournalError, match=r"line 2 is damaged: its checksum"):
            RetentionFile(tmp_path)


def fields(**change: Any) -> dict[str, Any]:
    return {
        "genome": "base",
        "task": "gsm8k",
        "settings": {},
        "scores": {"acc,none": [0.5, 0.04]},
        "metric": "acc,none",
        "higher_is_better": True,
        "samples": 100,
        "seconds": 1.0,
    } | change


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"metric": "f1"}, "line 1 is damaged: it has no score f1"),
        ({"samples": "many"}, "line 1 is damaged: samples: Input should be a valid integer"),
        ({"scores": {"acc,none": ["x", None]}}, r"line 1 is damaged: scores\.acc,none\.0: "),
    ],
)
def test_a_line_that_is_no_record_is_named(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    (tmp_path / FILE).write_bytes(encode(fields(**change)))
    with pytest.raises(JournalError, match=message):
        read(tmp_path)


def test_settings_can_be_changed_in_what_is_published(tmp_path: Path) -> None:
    file = RetentionFile(tmp_path)
    file.append(measured(settings={"path": "/home/me", "limit": 3}))
    file.close()
    content = changed_settings(tmp_path, lambda settings: {**settings, "path": "…"})
    (tmp_path / FILE).write_bytes(content)
    assert read(tmp_path) == [measured(settings={"path": "…", "limit": 3})]
