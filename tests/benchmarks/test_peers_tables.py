"""The command and the tables of the peers' benchmark, from rows that are saved."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from scipy import stats

from benchmarks.peers import family
from benchmarks.peers.__main__ import RESULTS, main
from benchmarks.peers.intervals import difference, interval, times
from benchmarks.peers.table import (
    KILLED,
    Results,
    costs,
    differences,
    kills,
    overview,
    read,
    tables,
)
from benchmarks.peers.tools import TOOLS

ROOT = Path(__file__).parents[2]

# ---- the command ----


def asked(monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    monkeypatch.setattr(sys, "argv", ["benchmarks.peers", *options])
    main()


def test_with_all_rows_saved_the_command_prints_the_tables_and_runs_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    nowhere = str(tmp_path / "none")
    monkeypatch.setattr(family, "MODELS", tmp_path / "none")
    asked(monkeypatch, "--out", nowhere, "--environments", nowhere)
    printed = capsys.readouterr()
    assert printed.out == tables(read(RESULTS)) + "\n"
    assert printed.err == f"24 of 24 rows are in {RESULTS}: nothing is run\n"
    assert list(tmp_path.iterdir()) == []


def test_without_rows_or_models_the_command_says_what_it_would_run_and_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(family, "MODELS", tmp_path / "models")
    (tmp_path / "best").mkdir()
    (tmp_path / "best" / "0.json").write_text("{}")
    options = ["--save", str(tmp_path), "--only", "best", "mergenetic", "--seeds", "0", "1"]
    needed = f"^{tmp_path}/models is missing: python recipes/quickstart/make_models.py$"
    with pytest.raises(SystemExit, match=needed):
        asked(monkeypatch, *options)
    runs = "mergenetic 0, best 1, mergenetic 1, best killed, mergenetic killed"
    said = capsys.readouterr().err
    assert said == f"1 of 6 rows are in {tmp_path}; runs, one after another: {runs}\n"


@pytest.mark.parametrize(
    ("evaluations", "said"),
    [
        ("20", "--evaluations 20: the saved rows are of 60; name another folder with --save"),
        ("25", "--evaluations 25: needs at most 10 or a multiple of it"),
        ("0", "--evaluations 0: needs at most 10 or a multiple of it"),
    ],
)
def test_rows_of_other_searches_are_not_mixed(
    evaluations: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        asked(monkeypatch, "--evaluations", evaluations)
    assert said in capsys.readouterr().err


# ---- tables ----


def test_intervals_are_students_and_without_pairs_welchs() -> None:
    assert interval([1.0, 2.0, 3.0], 3) == "2.000 ± 2.484"
    assert interval([0.5], 3) == "0.500"
    theirs, ours = [3.0, 5.0, 4.5, 7.0], [2.0, 2.5, 2.25]
    bounds = stats.ttest_ind(theirs, ours, equal_var=False).confidence_interval()
    mean, half = difference(theirs, ours, pairs=False)
    assert (mean - half, mean + half) == pytest.approx((bounds.low, bounds.high))
    bounds = stats.ttest_rel(theirs[:3], ours).confidence_interval()
    mean, half = difference(theirs[:3], ours, pairs=True)
    assert (mean - half, mean + half) == pytest.approx((bounds.low, bounds.high))
    assert difference([2.0, 2.0], [1.0, 1.0], pairs=False) == (1.0, 0.0)
    assert times([100.0, 400.0], [50.0, 100.0], pairs=True) == "2.83 [0.03, 231.22]"
    assert times([100.0], [50.0], pairs=False) == "2.00"


def row(cpu: float, holdout: float) -> dict[str, float]:
    found = {"wall": 2 * cpu, "memory": 5e8, "written": 2e6, "left": 1e6}
    found |= dict.fromkeys(family.SKILLS, holdout)
    return {"evaluations": 60, "cpu": cpu, "holdout": holdout, **found}


def test_differences_are_of_pairs_of_seeds_where_a_seed_decides(tmp_path: Path) -> None:
    rows = {
        "best": {"0": row(50, 0.9), "1": row(60, 0.8), "10": row(50, 0.9)},
        "mergenetic": {"0": row(100, 0.8), "1": row(120, 0.7), "2": row(1, 0.0)},
        "mergekit-evolve": {"0": row(100, 0.8), "1": row(120, 0.7)},
    }
    for name, seeds in rows.items():
        (tmp_path / name).mkdir()
        for seed, content in seeds.items():
            (tmp_path / name / f"{seed}.json").write_text(json.dumps(content))
    found = read(tmp_path)
    assert "| this, `preset: best` | 3 | 60 | 53 ± 14 | 0.89 ± 0.24 |" in costs(found)
    assert "| 500 ± 0 | 2.0 ± 0.0 | 1.0 ± 0.0 | 0.867 ± 0.143 |" in costs(found)
    assert differences(found).splitlines()[2:] == [
        "| mergekit-evolve | this, `preset: best` | 2 and 3 | means "
        "| 2.06 [1.26, 3.39] | -0.117 ± 0.272 |",
        "| mergenetic | this, `preset: best` | 2 | pairs of a seed "
        "| 2.00 [2.00, 2.00] | -0.100 ± 0.000 |",
    ]
    assert [line.split(" |")[0] for line in overview(found).splitlines()[2:]] == [
        "| mergekit-evolve",
        "| mergenetic",
        "| this, `preset: best`",
    ]
    assert overview(found).endswith("| 0.867 ± 0.143 | not tried |") and kills(found) == ""


@pytest.mark.parametrize(
    ("page", "shown"),
    [
        ("README.md", [overview]),
        ("docs/results.md", [overview, differences]),
        ("benchmarks/RESULTS.md", [overview, costs, differences, kills]),
    ],
)
def test_tables_of_the_pages_are_those_of_the_saved_rows(
    page: str, shown: list[Callable[[Results], str]]
) -> None:
    found, text = read(RESULTS), (ROOT / page).read_text(encoding="utf-8")
    for table in shown:
        assert f"\n\n{table(found)}\n\n" in text


def test_the_saved_rows_are_of_five_runs_of_each_tool_and_of_a_killed_one() -> None:
    found = read(RESULTS)
    assert {name: sorted(rows) for name, rows in found.items()} == {
        name: ["0", "1", "2", "3", "4", KILLED] for name in TOOLS
    }
    for rows in found.values():
        assert rows.pop(KILLED)["asked"] == family.KILLED_EVALUATIONS
        for kept in rows.values():
            assert kept["evaluations"] >= family.EVALUATIONS
            mean = sum(kept[skill] for skill in family.SKILLS) / 3
            assert kept["holdout"] == pytest.approx(mean, abs=1e-6)


def test_pages_say_what_the_rows_say() -> None:
    found = read(RESULTS)
    lines = [line.split(" | ") for line in differences(found).splitlines()[2:]]
    gaps = {(peer.strip("| "), ours): gap.strip(" |") for peer, ours, *_, gap in lines}
    bounds = {
        pair: (float(gap.split(" ± ")[0]), float(gap.split(" ± ")[1])) for pair, gap in gaps.items()
    }
    better = {pair: mean > half for pair, (mean, half) in bounds.items()}
    worse = {pair: mean < -half for pair, (mean, half) in bounds.items()}
    for peer in ("mergekit-evolve", "mergenetic"):
        assert better[peer, "this, `preset: paper`"]
    assert worse["mergekit-evolve", "this, `preset: best`"]
    assert not worse["mergenetic", "this, `preset: best`"]
    assert not better["mergenetic", "this, `preset: best`"]
