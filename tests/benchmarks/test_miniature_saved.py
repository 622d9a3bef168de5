"""Rows of the tables' seeds in files: taken where they are, made where they are not."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks" / "miniature"))
from saved import Rows, Saved
from tables import over_seeds

ROWS: Rows = {"base": {"holdout": 0.25, "evaluations": 1}}


def test_rows_come_back_as_they_were(tmp_path: Path) -> None:
    Saved(tmp_path / "t", [60]).keep(3, ROWS)
    again = Saved(tmp_path / "t", [60])
    assert again.rows(3) == ROWS
    assert again.rows(4) is None
    assert [file.name for file in (tmp_path / "t").iterdir()] == ["seed-3.json"]


def test_without_a_folder_nothing_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    nowhere = Saved(None, [60])
    nowhere.keep(3, ROWS)
    assert nowhere.rows(3) is None
    assert not list(tmp_path.iterdir())


def test_rows_of_other_settings_are_refused(tmp_path: Path) -> None:
    Saved(tmp_path, [60, "gentle"]).keep(0, ROWS)
    with pytest.raises(SystemExit, match=r"seed-0\.json was made with \[60, 'gentle'\]") as refused:
        Saved(tmp_path, [30, "gentle"]).rows(0)
    assert "these are [30, 'gentle']: name another folder with --save" in str(refused.value)


def rows_of(seed: int, children: int, factor: int) -> Rows:
    return {"base": {"holdout": float(seed * factor), "evaluations": children}}


@pytest.mark.costly
def test_only_missing_seeds_are_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MERGEKIT_CYCLEQD_CACHE"):
        monkeypatch.setenv(name, "as it was")
    Saved(tmp_path, [60, 10]).keep(1, ROWS)
    args = argparse.Namespace(seeds=[2, 1], jobs=1, children=60, save=tmp_path)
    made = {"base": {"holdout": 20.0, "evaluations": 60}}
    assert over_seeds(rows_of, args, 10) == [made, ROWS]
    content = json.loads((tmp_path / "seed-2.json").read_text())
    assert content["rows"] == made
    assert content["settings"] == [60, 10]
    assert content["date"] and content["torch"]
