"""The command for GPUs, rehearsed on a CPU with tiny shapes, and the wheels that it needs."""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch
from packaging.requirements import Requirement

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))
from benchmarks.gpu import __main__ as command
from benchmarks.gpu import wheels
from benchmarks.gpu.clusters import bound, mutated, planted
from benchmarks.gpu.results import LINES, TABLES, Results
from benchmarks.gpu.setting import Setting

ROOT = Path(__file__).parents[2]
WANTED = {
    "marked": {"tests marked gpu": 10},
    "clusters": {"clusters of singular values": 7},
    "swaps": {"swap of weights": 1},
    "children": {"rates": 4, "child creation": 8},
    "generation": {"generation": 2, "an evaluation": 6},
    "two": {"processes on one GPU": 2},
    "memory": {"memory": 2},
    "directions": {"singular directions": 15},
    "quickstart": {"quickstart": 5, "an evaluation": 6},
}
"""Rows of each table, at least."""

LONGEST = {"generation", "marked", "memory", "quickstart", "two"}


@pytest.mark.costly
@pytest.mark.parametrize(
    "part",
    [
        pytest.param(part, marks=pytest.mark.slow if part in LONGEST else ())
        for part in command.LIMITS
    ],
)
def test_every_part_runs_on_a_cpu_with_tiny_shapes(
    part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")]))
    results = Results(tmp_path / "out")
    import_module(f"benchmarks.gpu.{part}").measure(Setting("cpu", True, tmp_path, results))
    rows = results.rows()
    assert [row for row in rows if "failed" in row] == []
    for table, count in WANTED[part].items():
        assert len([row for row in rows if row["table"] == table]) >= count, table
        assert f"## {table}" in (tmp_path / "out" / TABLES).read_text()


@pytest.mark.slow
@pytest.mark.costly
def test_a_part_that_fails_or_hangs_is_a_row_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = {"missing": 60.0, "clusters": 60.0, "children": 0.1, "swaps": 60.0}
    monkeypatch.setattr(command, "LIMITS", limits)
    options = ["--out", str(tmp_path), "--device", "cpu", "--tiny"]
    monkeypatch.setattr(sys, "argv", ["gpu", *options, "--only", "missing", "children", "clusters"])
    assert command.main() == 1
    rows = [json.loads(line) for line in (tmp_path / LINES).read_text().splitlines()]
    outcomes = {row["part"]: row["outcome"] for row in rows if row["table"] == "parts"}
    assert outcomes == {
        "missing": "exit code 1, see log.txt",
        "children": "ended after 0 s",
        "clusters": "done",
    }
    assert "No module named 'benchmarks.gpu.missing'" in (tmp_path / "log.txt").read_text()
    monkeypatch.setattr(sys, "argv", ["gpu", *options, "--seconds", "0", "--only", "swaps"])
    assert command.main() == 1
    assert "| swaps |" in (tmp_path / TABLES).read_text()
    assert "no time left" in (tmp_path / TABLES).read_text()


def test_a_basis_turned_within_a_cluster_is_seen_in_the_mutated_tensor() -> None:
    """The measure of the part `clusters` is not blind, and rounding stays within its bound."""
    for gap in (1e-4, 1e-6, 1e-12, 0.0):
        tau = planted(64, gap)
        turned = torch.linalg.qr(torch.eye(64, dtype=torch.float64) + 1e-15 * tau)[0]
        expected = mutated(tau)
        difference = float((turned.T @ mutated(turned @ tau) - expected).norm() / expected.norm())
        assert difference <= bound(gap)
    close = planted(64, 1e-8)
    shaken = mutated(close + 1e-8 * torch.randn(64, 64, dtype=torch.float64))
    assert float((shaken - mutated(close)).norm() / mutated(close).norm()) > 1e-3


def test_wheels_are_what_a_machine_lacks_or_has_too_old() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pinned = wheels.read_versions(lines, "3.12")
    there = wheels.read_versions(
        [
            "torch==2.11.0",
            "transformers==5.17.0",
            "numpy",
            "scipy",
            "rich==12.0",
            "peft",
            "pandas",
            "setuptools",
        ],
        "3.12",
    )
    roots = wheels.needs(Requirement(wheels.OURS), "3.12")
    found = wheels.lacking(roots, pinned, there, "3.12")
    assert {"lm-eval", "mergekit", "ribs", "pydantic-core", "immutables", "dill"} <= found.keys()
    assert {"torch", "numpy", "scipy", "peft", "pandas", "setuptools", "vllm", "ray"}.isdisjoint(
        found
    )
    assert found["rich"] == pinned["rich"]  # 12.0 is too old
    assert found["transformers"] == pinned["transformers"]  # always the newest
    assert all(pinned[name] == version for name, version in found.items())
    with pytest.raises(LookupError, match=r"constraints.txt has no version of dill"):
        wheels.lacking(roots, {k: v for k, v in pinned.items() if k != "dill"}, there, "3.12")
