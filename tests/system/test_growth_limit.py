"""What grows without end is ended, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from time import monotonic, sleep

import pytest

from mergekit_cycleqd.system import growth_limit as module
from mergekit_cycleqd.system.growth_limit import growth_limit

MEGABYTE = 1 << 20


def test_growth_without_end_is_ended(tmp_path: Path) -> None:
    taken = []
    with (
        pytest.raises(MemoryError, match=r"it took more than 52.4 MB of memory"),
        growth_limit(tmp_path, 50 * MEGABYTE),
    ):
        for _ in range(2000):
            taken.append(b"x" * MEGABYTE)
            sleep(0.001)
    assert 50 <= len(taken) < 1500


def test_a_full_disk_is_seen_before_it_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_LEAST_DISK", 1 << 60)
    used = iter([5, *[4] * 10_000])
    monkeypatch.setattr(module, "_free", lambda folder: next(used))
    with pytest.raises(MemoryError, match="of disk in"), growth_limit(tmp_path, 1 << 60):
        _wait(5.0)


def test_what_stays_small_is_left_alone(tmp_path: Path) -> None:
    with growth_limit(tmp_path / "not" / "there"):
        _wait(0.3)
    _wait(0.1)


def _wait(seconds: float) -> None:
    until = monotonic() + seconds
    while monotonic() < until:
        sleep(0.005)
