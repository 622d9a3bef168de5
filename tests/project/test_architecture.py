"""ARCHITECTURE.md and CONTRIBUTING.md name files that exist, and arrows that the code has."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "mergekit_cycleqd"
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")
ENDINGS = (".py", ".md", ".txt", ".yaml", ".yml", ".toml", ".cff", "/")


def named() -> Iterator[tuple[str, str]]:
    """Each file or folder that the two pages name, and the name behind its colon, if any."""
    for page in ("ARCHITECTURE.md", "CONTRIBUTING.md"):
        text = (ROOT / page).read_text(encoding="utf-8")
        text = re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)
        for code in re.findall(r"`([^`\n]+)`", text):
            path, _, name = code.partition(": ")
            if "<" not in path and " " not in path and (path.endswith(ENDINGS) or "/" in path):
                yield path, name


@pytest.mark.parametrize(("path", "name"), sorted(set(named())))
def test_what_is_named_is_there(path: str, name: str) -> None:
    places = [place for place in (ROOT / path, PACKAGE / path) if place.exists()]
    if "/" not in path:  # as `base.py`, which several folders have
        places += PACKAGE.glob(f"*/{path}")
    assert places, f"no {path} in the repository or in the package"
    assert not name or re.search(rf"\b{name}\b", places[0].read_text(encoding="utf-8"))


def test_the_storeys_are_the_folders_of_the_package() -> None:
    table = ARCHITECTURE.split("## The storeys")[1].split("\n## ")[0]
    listed = re.findall(r"^\| \d+ \| `([a-z_.]+)` \|", table, flags=re.MULTILINE)
    folders = {init.parent.name for init in PACKAGE.glob("*/__init__.py")}
    assert sorted(listed) == sorted(folders | {"errors.py"})


def test_the_arrows_are_the_imports_without_those_that_follow() -> None:
    lines = re.findall(r"^  (.*) --> (.*)$", ARCHITECTURE, flags=re.MULTILINE)
    drawn = {
        (above, below)
        for left, right in lines
        for above in left.split(" & ")
        for below in right.split(" & ")
    }
    imports = {arrow for file in PACKAGE.glob("*/**/*.py") for arrow in imports_of(file)}
    assert drawn == {arrow for arrow in imports if not follows(arrow, imports)}


def imports_of(file: Path) -> Iterator[tuple[str, str]]:
    """The folders that a file of the package imports, its own left out."""
    here = file.relative_to(PACKAGE).parts[0]
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        modules = [node.module] if isinstance(node, ast.ImportFrom) else []
        if isinstance(node, ast.Import):
            modules = [alias.name for alias in node.names]
        for module in filter(None, modules):
            parts = module.split(".")
            if parts[0] == PACKAGE.name and len(parts) > 1 and parts[1] != here:
                yield here, parts[1]


def follows(arrow: tuple[str, str], arrows: set[tuple[str, str]]) -> bool:
    """Whether a longer way leads where an arrow leads."""
    start, end = arrow
    waiting = [below for above, below in arrows if above == start and below != end]
    seen = set(waiting)
    while waiting:
        place = waiting.pop()
        if place == end:
            return True
        new = {below for above, below in arrows if above == place} - seen
        seen |= new
        waiting += new
    return False
