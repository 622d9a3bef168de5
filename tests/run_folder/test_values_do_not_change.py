"""Values of `run_folder` do not change once they are made."""

from __future__ import annotations

from tests.support.frozen_values import dataclasses_in, frozen_in, small_in


def test_only_what_has_a_file_open_may_change() -> None:
    assert set(dataclasses_in("run_folder")) - frozen_in("run_folder") == {"journal.Journal"}


def test_what_a_run_holds_many_of_is_small() -> None:
    assert small_in("run_folder") >= {"run_view.Evaluation", "retention.Measured", "record.Record"}
