"""Compare the time that `plan` forecasts with the time of the run.

    python recipes/quickstart/make_models.py
    python benchmarks/forecast.py [--repeats 3] [--recipe recipes/quickstart.yaml]

There is one plan before the run and one after it. They differ if the speed of the machine changes
meanwhile, for example because of other programs.
"""

from __future__ import annotations

import argparse
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

COMMAND = [sys.executable, "-c", "from mergekit_cycleqd.cli.main import main; main()"]
UNITS = {"h": 3600.0, "min": 60.0, "s": 1.0}


def run(*args: str, folder: str) -> tuple[str, float]:
    """Run a command: its output, and its wall time in seconds."""
    environment = os.environ | {"COLUMNS": "200", "MERGEKIT_CYCLEQD_CACHE": f"{folder}/cache"}
    start = time.monotonic()
    done = subprocess.run(
        [*COMMAND, *args], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout, time.monotonic() - start


def forecast(recipe: str, folder: str) -> float:
    """Make a plan, and give its forecast in seconds."""
    out, _ = run("plan", recipe, "--out", f"{folder}/run", folder=folder)
    (line,) = re.findall(r"│ time +│ ([^:]*):", out)
    return sum(float(n) * UNITS[unit] for n, unit in re.findall(r"([\d.]+) (h|min|s)", line))


def main() -> None:
    """Print a row per repeat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--recipe", default="recipes/quickstart.yaml", type=Path)
    args = parser.parse_args()
    print("| plan before, s | run, s | plan after, s | mean of plans over run |")
    print("| ---: | ---: | ---: | ---: |")
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as folder:
            before = forecast(str(args.recipe), folder)
            _, seconds = run(str(args.recipe), "--out", f"{folder}/run", folder=folder)
            after = forecast(str(args.recipe), folder)
        ratio = (before + after) / 2 / seconds
        print(f"| {before:.0f} | {seconds:.0f} | {after:.0f} | {ratio:.2f} |", flush=True)


if __name__ == "__main__":
    main()
