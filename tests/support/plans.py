"""The table that the command `plan` prints, as a reader sees it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support.runs import run_main


class Plan:
    """Exit code and findings of a plan; each finding is a mark and a text."""

    def __init__(self, code: int, out: str) -> None:
        self.code = code
        self._findings: dict[str, list[tuple[str, str]]] = {}
        part = ""
        for mark, named, text in re.findall(r"^│ (\S) │ (.*?) *│ (.*?) *│$", out, re.MULTILINE):
            part = named or part
            self._findings.setdefault(part, []).append((mark, text))

    def __getitem__(self, part: str) -> list[tuple[str, str]]:
        return self._findings.get(part, [])

    @property
    def parts(self) -> list[str]:
        """The parts that have findings."""
        return list(self._findings)

    def only(self, part: str) -> tuple[str, str]:
        """The one finding of a part."""
        (finding,) = self[part]
        return finding


def plan(
    recipe: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    *options: str,
) -> Plan:
    """Run the command on a terminal so wide that a finding is one line."""
    monkeypatch.setenv("COLUMNS", "600")
    code = run_main("plan", recipe, "--out", recipe.parent / "run", *options)
    return Plan(code, capsys.readouterr().out)
