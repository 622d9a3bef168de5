"""The tests marked `gpu`. A file that cannot be imported stops no other."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

from benchmarks.gpu.setting import Setting

ROOT = Path(__file__).parents[2]
_MARK = "pytest.mark.gpu"
_BAD = ("failure", "error")


def files() -> list[Path]:
    """List the test files with such a test."""
    return [file for file in sorted((ROOT / "tests").rglob("test_*.py")) if _has_mark(file)]


def _has_mark(file: Path) -> bool:
    return any(line.startswith(f"@{_MARK}") for line in file.read_text().splitlines())


def measure(setting: Setting) -> None:
    """Run them, and write a row for each test.

    Raises:
        RuntimeError: If a test failed, after all have run.
    """
    told = setting.folder / "tests.xml"
    options = ["-q", "-m", "gpu", "-p", "no:cacheprovider", f"--junitxml={told}"]
    options += ["-o", "filterwarnings=default"]  # packages may be newer than those pinned
    options += ["--continue-on-collection-errors", *map(str, files())]
    subprocess.run([sys.executable, "-m", "pytest", *options], cwd=ROOT)
    bad = 0
    for case in ElementTree.parse(told).iter("testcase"):
        outcome = next((e for e in case if e.tag in (*_BAD, "skipped")), None)
        bad += outcome is not None and outcome.tag in _BAD
        setting.results.add(
            "tests marked gpu",
            file=case.get("classname"),
            test=case.get("name"),
            outcome="passed" if outcome is None else outcome.tag,
            seconds=float(case.get("time", 0)),
            reason="" if outcome is None else str(outcome.get("message"))[:200],
        )
    if bad:
        raise RuntimeError(f"{bad} tests failed")
