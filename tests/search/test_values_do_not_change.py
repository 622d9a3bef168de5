"""Values of `search` do not change once they are made."""

from __future__ import annotations

from tests.support.frozen_values import dataclasses_in, frozen_in, small_in


def test_no_value_can_be_changed() -> None:
    assert set(dataclasses_in("search")) - frozen_in("search") == set()


def test_what_a_run_holds_many_of_is_small() -> None:
    assert small_in("search") >= {"candidate.Candidate", "archive.Elite", "candidate.Outcome"}
