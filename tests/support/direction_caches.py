"""Caches of the tiny family's singular directions, and what is decomposed for them."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from mergekit_cycleqd.merging import direction_cache
from mergekit_cycleqd.merging.directions import SingularDirections, directions

MATRICES = 15  # the embedding, and seven of each of two layers


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of this test alone."""
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("COLUMNS", "200")
    return tmp_path / "cache" / "factors"


class Making:
    """Counts what is decomposed, and interrupts the one after `most`."""

    made = 0
    most = math.inf

    def __call__(self, tau: torch.Tensor) -> SingularDirections:
        if self.made == self.most:
            raise KeyboardInterrupt
        self.made += 1
        return directions(tau)


@pytest.fixture
def making(monkeypatch: pytest.MonkeyPatch) -> Making:
    found = Making()
    monkeypatch.setattr(direction_cache, "directions", found)
    return found


def stored(cache: Path) -> dict[Path, int]:
    return {file: file.stat().st_mtime_ns for file in cache.rglob("*.safetensors")}
