"""A run that began when its preset set other task vectors goes on with those."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run_folder.run_view import RunView
from tests.support.recipes import write_run_recipe
from tests.support.runs import derived, main_ok, run_main

BEFORE = {"task_vectors": {"kind": "both"}}


def _write(folder: Path, family: Family, **evolution: Any) -> str:
    def change(content: dict[str, Any]) -> None:
        content["evolution"] |= {"preset": "best", "screen": 4, **evolution}

    return str(write_run_recipe(folder / "recipe.yaml", family, change))


def test_a_run_of_the_earlier_preset_goes_on_as_it_began(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    main_ok([_write(tmp_path, family, children=9, **BEFORE), "--out", str(run)])
    capsys.readouterr()
    main_ok([_write(tmp_path, family, children=11), "--out", str(run)])
    told = capsys.readouterr().out
    assert "evolution.preset: goes on with task_vectors {kind: both}" in told
    whole = tmp_path / "whole"
    main_ok([_write(tmp_path, family, children=11, **BEFORE), "--out", str(whole)])
    assert derived(run) == derived(whole)


def test_other_task_vectors_than_the_run_has_are_refused(
    family: Family, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    main_ok([_write(tmp_path, family, children=5), "--out", str(run)])
    kinds = {each.family.task_vectors.kind for each in _genomes(run)}
    assert kinds == {"plain", "wudi"}
    plain = {"task_vectors": {"kind": "plain"}}
    assert run_main(_write(tmp_path, family, children=5, **plain), "--out", run) != 0
    assert "recipe.evolution.task_vectors.kind: was 'several'" in capsys.readouterr().err


def _genomes(run: Path) -> list[Any]:
    return [outcome.candidate.genome for outcome in RunView.read(run).told.values()]
