"""The cache of singular directions: where files lie, when they are read, and what is cleared."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest
import torch

from mergekit_cycleqd.merging import direction_cache
from mergekit_cycleqd.merging.direction_cache import DirectionCache
from mergekit_cycleqd.merging.directions import SingularDirections

TAU = torch.arange(6.0).reshape(2, 3)


def test_files_that_were_kept_before_are_found_again() -> None:
    """Golden: another name would make every user compute all directions anew."""
    expected = Path("c/20/20e09f4d901d8950383cffd3d596a438eacaa1f7.safetensors")
    assert DirectionCache(Path("c")).path(TAU) == expected


def test_the_cache_lies_where_the_environment_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert DirectionCache.default().folder == tmp_path / "own" / "factors"
    monkeypatch.delenv("MERGEKIT_CYCLEQD_CACHE")
    assert DirectionCache.default().folder == tmp_path / "xdg" / "mergekit-cycleqd" / "factors"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setenv("HOME", str(tmp_path))
    expected = tmp_path / ".cache" / "mergekit-cycleqd" / "factors"
    assert DirectionCache.default().folder == expected


def test_what_is_kept_is_read_and_not_computed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = DirectionCache(tmp_path)
    first = cache.directions(TAU)
    monkeypatch.setattr(direction_cache, "directions", None)
    again = cache.directions(TAU, path=cache.path(TAU))
    assert torch.equal(again.vectors, first.vectors) and torch.equal(again.values, first.values)


def test_directions_for_one_use_are_not_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path))
    direction_cache.known_directions(TAU)
    assert not list(tmp_path.rglob("*.safetensors"))
    DirectionCache.default().directions(TAU)
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_a_folder_that_cannot_be_written_costs_no_evaluation(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    found = DirectionCache(tmp_path / "file").directions(TAU)
    assert found.values.shape == (2,)


def test_a_file_that_could_not_be_written_whole_leaves_nothing(tmp_path: Path) -> None:
    across = SingularDirections(torch.zeros(3, 2).T, torch.zeros(2))  # safetensors refuses that
    with pytest.raises(ValueError, match="contiguous"):
        direction_cache._store(tmp_path / "ab" / "x.safetensors", across)
    assert not list((tmp_path / "ab").iterdir())


def test_pruning_keeps_what_is_needed_and_what_is_being_written(tmp_path: Path) -> None:
    cache = DirectionCache(tmp_path)
    needed, other = TAU, TAU + 1
    for tau in (needed, other):
        cache.directions(tau)
    now = time.time()
    partial = {}
    for name, age in {"tmpyoung": 3500, "tmpold": 3700}.items():
        partial[name] = cache.path(needed).parent / name
        partial[name].write_bytes(b"x" * 10)
        os.utime(partial[name], (now - age, now - age))
    freed = cache.path(other).stat().st_size + 10
    assert cache.prune({cache.path(needed)}) == freed
    assert cache.path(needed).exists() and not cache.path(other).exists()
    assert partial["tmpyoung"].exists() and not partial["tmpold"].exists()
