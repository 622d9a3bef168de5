"""Mutation testing: how many small changes of the code do its tests notice, folder by folder.

    python -m benchmarks.mutants [FOLDER ...] [--all | --places 100] [--seed 1] [--again]

Cosmic Ray finds and makes the mutants. This script chooses among them, runs the tests that reach
the changed line, and prints the share noticed. Each mutant is tried in a process forked from one
that has imported torch and its like already, which else takes most of the time. All happens in
a copy of the repository. `--again` tries only what survived the last time.

A survivor that is named in `mutants.yaml` has a reason to survive. Any other makes the exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import yaml

from benchmarks.mutants.choosing import choose
from benchmarks.mutants.trying import Outcome, Trial

ROOT = Path(__file__).parents[2]
SETTINGS = Path(__file__).parent.with_suffix(".yaml")
RESULTS = ROOT / "build" / "mutants"


def copy_repository(to: Path) -> None:
    """Copy what git knows of, new files among them, with the times of the files."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    for name in subprocess.check_output(command, cwd=ROOT).decode().split("\0"):
        if name and (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, to / name)


def main() -> int:
    """Try the mutants of each folder.

    Returns:
        1 if one survives that `mutants.yaml` does not name.
    """
    settings = yaml.safe_load(SETTINGS.read_text())
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="*", help=f"of {', '.join(settings['folders'])}")
    parser.add_argument("--places", type=int, default=100, help="changed places of each folder")
    parser.add_argument("--all", action="store_true", help="every mutant of every place; hours")
    parser.add_argument("--seed", type=int, default=1, help="another one chooses other mutants")
    parser.add_argument("--again", action="store_true", help="only what survived the last time")
    options = parser.parse_args()

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # so that what it forked ends too
    RESULTS.mkdir(parents=True, exist_ok=True)
    named = {(one["file"], one["before"], one["after"]) for one in settings.get("survivors", ())}
    scores: dict[str, list[Outcome]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        copy_repository(Path(scratch))
        os.chdir(scratch)
        sys.path[:] = [scratch, *(path for path in sys.path if Path(path).resolve() != ROOT)]
        os.environ["PYTHONPATH"] = scratch
        os.environ["PYTHONDONTWRITEBYTECODE"] = "1"  # in processes that tests start
        for folder in options.folders or settings["folders"]:
            scores[folder] = try_folder(folder, settings, options)
    return report(scores, named)


def try_folder(folder: str, settings: dict[str, Any], options: argparse.Namespace) -> list[Outcome]:
    """Try the mutants of one folder, and keep the outcomes in `RESULTS`."""
    files = sorted(Path("mergekit_cycleqd", folder).rglob("*.py"))
    tests = [f"tests/{folder}", *settings["folders"][folder]]
    places = None if options.all else options.places
    chosen = choose(files, places, options.seed, list(settings["excluded"]))
    kept = RESULTS / f"{folder}.json"
    if options.again:
        last = [Outcome(**one) for one in json.loads(kept.read_text())]
        survived = {outcome.key for outcome in last if not outcome.noticed}
        chosen = [mutant for mutant in chosen if mutant.key in survived]
    trial = Trial(files, tests)
    outcomes: list[Outcome] = []
    try:
        for number, mutant in enumerate(chosen, 1):
            outcomes.append(trial.outcome(mutant))
            how = f"{outcomes[-1].how} {outcomes[-1].seconds} s"
            print(f"{folder} {number}/{len(chosen)} {how} {mutant}", flush=True)
    finally:  # of a run that is broken off too
        kept.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    return outcomes


def report(scores: dict[str, list[Outcome]], named: set[tuple[str, str, str]]) -> int:
    """Print the share of each folder, and the survivors that nobody named."""
    print("\n| folder | mutants | noticed | share | survivors named |")
    print("| --- | ---: | ---: | ---: | ---: |")
    unnamed = []
    for folder, outcomes in scores.items():
        noticed = sum(outcome.noticed for outcome in outcomes)
        left = [outcome for outcome in outcomes if not outcome.noticed]
        known = [outcome for outcome in left if outcome.key in named]
        unnamed += [outcome for outcome in left if outcome not in known]
        share = noticed / len(outcomes) if outcomes else 1.0
        print(f"| {folder} | {len(outcomes)} | {noticed} | {share:.1%} | {len(known)} |")
    for outcome in unnamed:
        print(f"{outcome.how}: {outcome}")
    return 1 if unnamed else 0


if __name__ == "__main__":
    raise SystemExit(main())
