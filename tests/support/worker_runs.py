"""Short runs by several workers, and by one with the lag of several."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.run.prepare import prepare
from mergekit_cycleqd.run.run import Run
from tests.support.recipes import write_run_recipe
from tests.support.runs import lines, main_ok

LAG = 4


def with_workers(**workers: Any) -> Any:
    def change(content: dict[str, Any]) -> None:
        content["evolution"] |= {"lag": LAG, "children": 24}
        content["workers"] = workers

    return change


@pytest.fixture(scope="module")
def alone(family: Family, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What one worker finds with the lag of several."""
    folder = tmp_path_factory.mktemp("alone")
    recipe = write_run_recipe(folder / "recipe.yaml", family, with_workers())
    main_ok([str(recipe), "--out", str(folder / "run")])
    return folder / "run"


def run_and(action: Any, recipe: Path, out: Path) -> str:
    """Run a recipe while `action(out)` goes on beside it; what the run said."""
    console = Console(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115
    beside = threading.Thread(target=action, args=(out,), daemon=True)
    beside.start()
    with Run(prepare(recipe), out, console) as run:
        run.go()
    beside.join(timeout=60)
    console.file.close()
    return console.export_text()


def when(out: Path, count: int) -> None:
    deadline = time.monotonic() + 120
    while lines(out) < count:
        assert time.monotonic() < deadline
        time.sleep(0.01)
