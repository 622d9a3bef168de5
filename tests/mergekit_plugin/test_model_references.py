"""Folders that `merge` does not find, which look like ids of the Hub."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import yaml

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from tests.support.runs import run_main


def test_a_merge_names_the_folders_that_it_took_for_ids(
    family: Family,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    content = Genome.uniform(replace(family, experts=("models/red", *family.experts[1:])))
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content.to_recipe()))
    assert run_main("merge", tmp_path / "m.yaml", tmp_path / "out", "--quiet") == 2
    (line,) = [x for x in capsys.readouterr().err.splitlines() if x.startswith("error: ")]
    assert line.endswith("(no folder here has the name models/red)")


def test_the_hub_is_not_asked_about_folders(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    monkeypatch.setattr(
        "huggingface_hub.HfApi.repo_info", lambda _, repo_id, **__: asked.append(repo_id)
    )
    names = ["base", "red", "models/green"]
    for name, folder in zip(names, (family.base_model, *family.experts), strict=False):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).symlink_to(folder)
    content = Genome.uniform(Family(names[0], tuple(names[1:])))
    (tmp_path / "m.yaml").write_text(yaml.safe_dump(content.to_recipe()))
    monkeypatch.chdir(tmp_path)
    assert run_main("merge", "m.yaml", "out", "--quiet") == 0
    assert asked == []
    assert "`./green`" in (tmp_path / "out" / "README.md").read_text()
    assert (tmp_path / "out" / "mergekit_config.yml").read_text() == (
        tmp_path / "m.yaml"
    ).read_text()
