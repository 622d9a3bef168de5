"""Nothing but boxes, judges in them, and the database needs Linux."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mergekit_cycleqd"
OF_LINUX = ("sandbox/", "tasks/agentbench_db/", "tasks/mbpp/inside/")
WORDS = ("sched_getaffinity", "prctl", "posix_fadvise", "memfd_create", "setns", "unshare")
MODULES = ("fcntl", "resource", "termios", "pwd", "grp")
PLACES = ("/proc", "/dev/shm", "/sys/")
KNOWN = {"system/main_memory.py": "/sys/"}  # which goes on where the folder is not there


def linux_only(file: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name in MODULES)
        elif isinstance(node, ast.ImportFrom) and node.module in MODULES:
            yield str(node.module)
        elif isinstance(node, ast.Attribute) and node.attr in WORDS:
            yield node.attr
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (place for place in PLACES if node.value.startswith(place))


def test_only_boxes_and_the_database_take_what_linux_alone_has() -> None:
    found = {}
    for file in PACKAGE.rglob("*.py"):
        name = file.relative_to(PACKAGE).as_posix()
        if not name.startswith(OF_LINUX) and (used := set(linux_only(file))):
            found[name] = used
    assert {name: " ".join(used) for name, used in found.items()} == KNOWN


def test_what_linux_alone_has_would_be_seen() -> None:
    seen = {word for file in (PACKAGE / "sandbox").rglob("*.py") for word in linux_only(file)}
    assert seen >= {"fcntl", "resource", "prctl", "/proc"}


def test_the_workflow_has_a_job_on_macos() -> None:
    jobs = yaml.safe_load((ROOT / ".github/workflows/ci.yml").read_text())["jobs"]
    assert any(job["runs-on"].startswith("macos") for job in jobs.values())
