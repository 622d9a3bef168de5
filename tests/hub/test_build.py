"""A finished model is taken again for a later push only if this user built its very files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.build import build_model, built_files
from mergekit_cycleqd.system.cache_folder import VARIABLE


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache"))


def test_a_finished_model_is_taken_again(family: Family, tmp_path: Path) -> None:
    folder = build_model(Genome.uniform(family), tmp_path / "built")
    built = {path: path.stat().st_mtime_ns for path in built_files(folder).values()}
    assert build_model(Genome.uniform(family), tmp_path / "built") == folder
    assert {path: path.stat().st_mtime_ns for path in built_files(folder).values()} == built


def _small_change(folder: Path) -> None:
    tensors = load_file(folder / "model.safetensors")
    name = sorted(tensors)[1]  # none of those that are computed again
    tensors[name] = tensors[name] * 1.001
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _template(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{{ messages }}")


def _more(folder: Path) -> None:
    (folder / "modeling_llama.py").write_text("print('mine')")


def _inner(folder: Path) -> None:
    (folder / "inner").mkdir()


@pytest.mark.parametrize("change", [_small_change, _template, _more, _inner])
def test_another_one_in_its_place_is_built_anew(
    change: Callable[[Path], None], family: Family, tmp_path: Path
) -> None:
    genome = Genome.uniform(family)
    folder = build_model(genome, tmp_path / "built")
    whole = {name: path.read_bytes() for name, path in built_files(folder).items()}
    change(folder)
    assert build_model(genome, tmp_path / "built") == folder
    assert {name: path.read_bytes() for name, path in built_files(folder).items()} == whole
    assert sorted(path.name for path in folder.iterdir()) == sorted(whole)


def test_a_model_that_came_with_its_folder_is_built_anew(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    genome = Genome.uniform(family)
    folder = build_model(genome, tmp_path / "built")
    marked = folder / "config.json"
    before = marked.stat().st_mtime_ns
    monkeypatch.setenv(VARIABLE, str(tmp_path / "cache of another user"))
    build_model(genome, tmp_path / "built")
    assert marked.stat().st_mtime_ns != before
