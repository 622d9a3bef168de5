"""The command, in this process or in one of its own, and what its run folder holds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mergekit_cycleqd.cli.main import main
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.run_view import RunView

COMMAND = [sys.executable, "-c", "from mergekit_cycleqd.cli.main import main; main()"]


def derived(folder: Path) -> dict[str, bytes]:
    """What must not depend on how often a run was interrupted."""
    named = ("archives.json", "best.yaml", "aggregate.yaml")
    files = [*(folder / name for name in named), *folder.glob("elites/*/*")]
    return {str(file.relative_to(folder)): file.read_bytes() for file in files}


def samples_of(folder: Path) -> dict[tuple[str, str], Any]:
    """What a journal's lines say of samples, by model and split."""
    told = map(json.loads, (folder / FILE).read_text().splitlines()[1:])
    return {(line["id"], line["split"]): line["samples"] for line in told}


def lines(folder: Path) -> int:
    journal = folder / FILE
    return journal.read_bytes().count(b"\n") if journal.exists() else 0


def start(recipe: Path, out: Path, **variables: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*COMMAND, str(recipe), "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | {"PYTHONUNBUFFERED": "1"} | variables,
    )


def wait_for(folder: Path, count: int, process: subprocess.Popen[str], within: float = 120) -> None:
    deadline = time.monotonic() + within
    while lines(folder) < count and process.poll() is None:
        assert time.monotonic() < deadline, "the run does not get on"
        time.sleep(0.002)


def main_ok(args: list[str]) -> None:
    with pytest.raises(SystemExit) as exit:
        main(args)
    assert exit.value.code == 0


def run_main(*args: object) -> int:
    with pytest.raises(SystemExit) as exit:
        main([str(arg) for arg in args])
    return int(exit.value.code or 0)


@pytest.fixture
def run_as_planned(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[Path], RunView]:
    """Runs a recipe, in the folder `run`; it must need what was made ahead and planned, no more."""
    cache, out = tmp_path / "cache", tmp_path / "run"
    monkeypatch.setenv("MERGEKIT_CYCLEQD_CACHE", str(cache))
    monkeypatch.setenv("COLUMNS", "200")

    def run(recipe: Path) -> RunView:
        assert run_main("factorize", recipe) == 0
        assert "tsv 0.333" in capsys.readouterr().out
        made = sorted(cache.rglob("*.safetensors"))
        assert run_main(recipe, "--out", out) == 0
        assert sorted(cache.rglob("*.safetensors")) == made
        capsys.readouterr()
        found = RunView.read(out)
        assert run_main("plan", recipe) == 0
        count = sum(evaluation.split == "search" for evaluation in found.evaluations)
        assert f"{count} evaluations on search samples" in capsys.readouterr().out
        return found

    return run
