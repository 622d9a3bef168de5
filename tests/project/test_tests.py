"""No test file imports another, and what they share lies in `tests/support`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.documents import ROOT

# Python files in folders that are no packages are what tests read.
FILES = [
    file
    for file in sorted((ROOT / "tests").rglob("*.py"))
    if file.with_name("__init__.py").exists()
]


def name_of(file: Path) -> str:
    """The dotted name by which a file is imported."""
    return ".".join(file.relative_to(ROOT).with_suffix("").parts)


def imported(text: str, importer: str) -> Iterator[str]:
    """The full names of all that a file imports, and of all that it names as plugins."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = importer.split(".")[: -node.level] if node.level else []
            module = ".".join([*above, *filter(None, [node.module])])
            yield from (f"{module}.{each.name}" for each in node.names)
        elif isinstance(node, ast.Assign) and "pytest_plugins" in map(ast.unparse, node.targets):
            yield from ast.literal_eval(node.value)


def of_a_test(name: str) -> bool:
    """Whether a name is that of a test file, of a `conftest`, or of something in one."""
    return any(part == "conftest" or part.startswith("test_") for part in name.split("."))


@pytest.mark.parametrize("file", FILES, ids=name_of)
def test_no_file_imports_a_test_file(file: Path) -> None:
    found = imported(file.read_text(encoding="utf-8"), name_of(file))
    wrong = sorted({name for name in found if name.startswith("tests.") and of_a_test(name)})
    assert not wrong, f"move what is shared to tests/support: {', '.join(wrong)}"


@pytest.mark.parametrize(
    "line",
    [
        "from tests.run.test_run import derived",
        "from tests.run import test_run",
        "import tests.run.test_run as other",
        "from .test_run import derived",
        "from tests.conftest import family",
        "def late():\n    from . import test_run",
        'pytest_plugins = ("tests.support.boxes", "tests.run.test_run")',
    ],
)
def test_such_an_import_is_seen_in_any_form(line: str) -> None:
    assert any(of_a_test(name) for name in imported(line, "tests.run.test_other"))


def test_what_is_no_test_lies_in_support() -> None:
    support = ROOT / "tests" / "support"
    for file in FILES:
        is_test = file.name.startswith("test_")
        if file.name not in ("__init__.py", "conftest.py"):
            assert is_test != file.is_relative_to(support), file
