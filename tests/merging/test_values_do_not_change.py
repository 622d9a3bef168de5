"""Values of `merging` do not change once they are made."""

from __future__ import annotations

from tests.support.frozen_values import dataclasses_in, frozen_in


def test_no_value_can_be_changed() -> None:
    assert set(dataclasses_in("merging")) - frozen_in("merging") == set()
    assert dataclasses_in("merging")
