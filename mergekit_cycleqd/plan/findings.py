"""What checks find, and the table that shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from rich.markup import escape
from rich.table import Table

Level = Literal["ok", "warning", "fault", "skipped"]


_MARKS = {
    "ok": "[green]✓[/]",
    "warning": "[yellow]![/]",
    "fault": "[bold red]✗[/]",
    "skipped": "[dim]–[/]",
}


_STYLES = {"ok": "", "warning": "yellow", "fault": "red", "skipped": "dim"}


@dataclass(frozen=True)
class Finding:
    """One line of a plan.

    Attributes:
        level: A fault means that the run cannot work; a warning, that it may not do what is
            wanted; skipped, that it was not looked at, and why.
        part: What it is about, in a word or two.
        text: What was found; of a fault, with the path to the recipe's key and how to mend it.
    """

    level: Level
    part: str
    text: str


def faults(findings: Iterable[Finding]) -> list[str]:
    """The texts of the faults."""
    return [finding.text for finding in findings if finding.level == "fault"]


def checked(part: str, found: Sequence[str], otherwise: str) -> list[Finding]:
    """Faults of one part, or that there is none.

    Args:
        part: What was looked at.
        found: The faults.
        otherwise: What to say where there is none.
    """
    if not found:
        return [Finding("ok", part, otherwise)]
    return [Finding("fault", part, text) for text in found]


def table(title: str, findings: Iterable[Finding]) -> Table:
    """All findings, green and red; what stands under one part is told once."""
    made = Table(title=title, title_justify="left", show_header=False, expand=False)
    made.add_column("", width=1)
    made.add_column("part", no_wrap=True)
    made.add_column("finding", overflow="fold")
    last = ""
    for finding in findings:
        part = "" if finding.part == last else finding.part
        style = _STYLES[finding.level]
        text = escape(finding.text)
        made.add_row(_MARKS[finding.level], part, f"[{style}]{text}[/]" if style else text)
        last = finding.part
    return made
