"""The scene of `make faults` for a test module, and what its outcomes have to be."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import Scene
from tests.support.costly import costly


@pytest.fixture(scope="module")
@costly
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    cache = os.environ["MERGEKIT_CYCLEQD_CACHE"]
    yield Scene(tmp_path_factory.mktemp("scene"))
    os.environ["MERGEKIT_CYCLEQD_CACHE"] = cache


def nothing_is_wrong(outcome: Outcome, *, told: str = "") -> None:
    assert not outcome.wrong, "\n".join(outcome.wrong[:5])
    assert outcome.tried
    assert told in outcome.told
