"""Try every task with `plan`, `eval` and a run, and print the table."""

from __future__ import annotations

import argparse
import os
import tempfile
import time
from pathlib import Path

from benchmarks.faulty_tasks.attempts import attempts


def main() -> None:
    """Print a row per task, and end with 1 if anything was not one line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", default="", help="A pattern of names.")
    chosen = parser.parse_args()
    os.environ["COLUMNS"] = "600"
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    began, wrong, count = time.monotonic(), 0, 0
    print("| task | plan | eval | run | what the run says |\n| --- | --- | --- | --- | --- |")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["MERGEKIT_CYCLEQD_CACHE"] = str(Path(folder) / "cache")
        for attempt in attempts(Path(folder) / "scene", chosen.only):
            words = attempt.found[2][1].replace(folder, "").replace("|", "\\|")
            did = " | ".join(word for word, _ in attempt.found)
            print(f"| {attempt.task} | {did} | {words} |", flush=True)
            for word, line in attempt.faults:
                print(f"  {word}: {line[:600]}")
            count, wrong = count + 1, wrong + bool(attempt.faults)
    print(f"\n{count} tasks, {wrong} not in one line, {time.monotonic() - began:.0f} s")
    raise SystemExit(bool(wrong))


if __name__ == "__main__":
    main()
