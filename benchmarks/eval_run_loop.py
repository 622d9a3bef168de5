"""`eval RUN` with bootstrapped metrics, again and again, each in a process of its own.

    python -m benchmarks.eval_run_loop --count 60

It once hung in two of seven runs, and printed what lm-eval's pool of processes said of signals.
Each run must end with 0 and say nothing but its own lines.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from mergekit_cycleqd.run_folder.retention import FILE
from tests.support.families import make_family
from tests.support.recipes import TASKS, write_run_recipe

_TASKS = "tiny_perplexity,tiny_bootstrapped"
_COMMAND = [sys.executable, "-c", "from mergekit_cycleqd.cli.main import main; main()"]
_LONGEST = 600
_OWN = re.compile(r"^(\d+ models, |\d+/\d+ |Loading weights|\s*$)")
"""What a run says on the way: counts of models, a line per evaluation, transformers' bar."""


def short(content: dict[str, Any]) -> None:
    """Make the run as short as it can be."""
    content["evolution"] = {"children": 1, "mutation": {"kind": "none"}}


def once(run: Path) -> str:
    """Evaluate a run, and say what was wrong; empty if nothing was."""
    (run / FILE).unlink(missing_ok=True)
    options = ["--tasks", _TASKS, "--include-path", str(TASKS)]
    try:
        ended = subprocess.run(
            [*_COMMAND, "eval", str(run), *options],
            capture_output=True,
            text=True,
            timeout=_LONGEST,
        )
    except subprocess.TimeoutExpired:
        return f"hung for {_LONGEST} s"
    strange = [line for line in ended.stderr.splitlines() if not _OWN.match(line)]
    if ended.returncode:
        return f"exit {ended.returncode}: {strange[-1:]}"
    if missing := [name for name in _TASKS.split(",") if name not in ended.stdout]:
        return f"no scores of {', '.join(missing)}"
    return f"said {strange[0]!r}" if strange else ""


def main() -> None:
    """Print a line per run that was not as it should be, and the count."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=60)
    count = parser.parse_args().count
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        recipe = write_run_recipe(folder / "recipe.yaml", make_family(folder / "models"), short)
        made = [*_COMMAND, str(recipe), "--out", str(folder / "run")]
        subprocess.run(made, check=True, capture_output=True)
        began, good = time.monotonic(), 0
        for number in range(1, count + 1):
            fault = once(folder / "run")
            good += not fault
            print(f"{number}: {fault or 'ended, quiet'}", flush=True)
    print(f"{good} of {count} ended, quiet; {time.monotonic() - began:.0f} s")
    raise SystemExit(good < count)


if __name__ == "__main__":
    main()
