"""Try every fault, and write benchmarks/FAULTS.md.

    python -m benchmarks.faults [--only crashes] [--share 0.1] [--jobs 2]
        [--cases pickle]

`--share` tries each fault so many times less, and only prints. `--only hostile` tries repositories
of strangers alone, and writes their part of the page; with `--cases`, those rows of it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")  # more only stall tiny models

from benchmarks.faults import (
    crashes,
    disks,
    hostile,
    journals,
    numbers,
    power,
    quickstart,
    recipes,
    safety,
    soak,
    strangers,
)
from benchmarks.faults.outcome import Outcome
from benchmarks.faults.scene import Scene

PAGE = Path(__file__).parents[1] / "FAULTS.md"
_STRANGERS = "hostile"
Fault = Callable[[Scene, int], Outcome]
FAULTS: dict[str, list[tuple[Fault, int]]] = {
    "crashes": [
        (partial(crashes.ended, sent=signal.SIGKILL), 100),
        (partial(crashes.ended, sent=signal.SIGTERM), 15),
        (partial(crashes.ended, sent=signal.SIGINT), 15),
        (crashes.second_process, 5),
        (crashes.run_folder_moved, 3),
        (crashes.all_moved, 3),
        (crashes.other_workers, 2),
        (crashes.clock_jumps, 2),
    ],
    "quickstart": [(quickstart.killed, 100)],
    "power": [
        (power.cut_journal, 10_000),
        (power.unwritten_blocks, 200),
        (power.reordered_files, 200),
    ],
    "disks": [
        (disks.files_limited, 100),
        (disks.disk_full, 40),
        (disks.read_only, 4),
        (disks.foreign_folder, 8),
        (disks.own_files, 5),
    ],
    "journals": [
        (journals.flipped_bits, 5_000),
        (journals.other_versions, 7),
        (journals.strange_fields, 10_000),
    ],
    "recipes": [
        (recipes.run_recipes, 2_000),
        (recipes.texts, 2_000),
        (recipes.model_recipes, 2_000),
        (recipes.yaml_bombs, 100),
        (strangers.merged_recipes, 100),
        (strangers.model_files, 100),
    ],
    "numbers": [(numbers.experts, 100), (numbers.searches, 100)],
    "safety": [(safety.writes, 1), (safety.planted_code, 100)],
    "soak": [
        (soak.mock, 20_000),
        (soak.models, 300),
        (soak.processes, 300),
        (soak.ray, 300),
    ],
}

_HEAD = """# Faults

Written by `make faults`, which tries each fault so many times on the machine that it runs on. After
each try the run is gone on with, and its archives and elites must be those of a run to which
nothing happened, byte for byte; what a run cannot survive must be refused in one line before
anything is changed. The runs are those of the tests: 12 children over three experts of 20,000
parameters, or a search whose scores come from a function; the quickstart's where it is named.
Folders stand as `...` here; what is in brackets was measured, and is not shown to the user.

Known faults of the pinned packages are no part of this, since that asks a server:
`pip-audit --requirement constraints.txt --no-deps`.
"""


def main() -> int:
    """Try, print, and write the page; 1 if anything was lost or wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=[*FAULTS, _STRANGERS])
    parser.add_argument("--share", type=float, default=1.0)
    parser.add_argument("--cases", action="append", default=[], help="only rows with this text")
    parser.add_argument("--jobs", type=int, default=1, help="of repositories of strangers")
    options = parser.parse_args()
    kept, _, rows = PAGE.read_text(encoding="utf-8").partition(hostile.HEAD.partition("\n")[0])
    wrong = 0
    if options.only != _STRANGERS:
        kept, wrong = _faults(options.only, options.share)
    if options.only in (None, _STRANGERS):
        names = hostile.names(options.share, options.cases)
        found = hostile.rows(names, options.jobs)
        wrong += sum(len(faults) for _, faults in found.values())
    if options.share == 1.0 and options.only in (None, _STRANGERS):
        strangers = hostile.merged(rows, found)
        PAGE.write_text(f"{kept.rstrip()}\n\n{hostile.HEAD}{strangers}", encoding="utf-8")
    return int(wrong > 0)


def _faults(only: str | None, share: float) -> tuple[str, int]:
    """Try the faults of a run: the page, and how many were wrong."""
    lines = [_HEAD, "| fault | tried | lost or wrong | what the user is told |"]
    lines.append("|---|---:|---:|---|")
    wrong = 0
    with tempfile.TemporaryDirectory() as folder:
        scene = Scene(Path(folder).resolve())
        for group in [only] if only else FAULTS:
            for fault, tries in FAULTS[group]:
                try:
                    outcome = fault(scene, max(1, round(tries * share)))
                except Exception:
                    outcome = Outcome(f"{group}: {fault}", wrong=[traceback.format_exc()])
                wrong += len(outcome.wrong)
                told = outcome.told.replace("|", "\\|").replace("`", "'")
                told = f"`{told}`" if told and not told.startswith("(") else told or "nothing"
                line = f"| {outcome.fault} | {outcome.tried:,} | {len(outcome.wrong)} | {told} |"
                print(line, flush=True)
                for reason in outcome.wrong[:5]:
                    print(f"    {reason}", file=sys.stderr, flush=True)
                lines.append(line)
    return "\n".join(lines) + "\n", wrong


if __name__ == "__main__":
    sys.exit(main())
