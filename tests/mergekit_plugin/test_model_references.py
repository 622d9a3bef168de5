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
