"""The findings of checks, and the table that shows them."""

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
        level: ``fault``: the run cannot work. ``warning``: the run may not do what the user wants.
            ``skipped``: the part was not checked, and `text` says why.
        part: The checked part, in a word or two.
        text: What was found. For a fault, with the path to the recipe's key and how to mend it.
    """

    level: Level
    part: str
    text: str


def faults(findings: Iterable[Finding]) -> list[str]:
    """Collect the texts of the faults."""
    return [finding.text for finding in findings if finding.level == "fault"]


def checked(part: str, found: Sequence[str], otherwise: str) -> list[Finding]:
    """Make the findings of one checked part: its faults, or one line if there is none.

    Args:
        part: The checked part.
        found: The faults.
        otherwise: The text if there is no fault.
    """
    if not found:
        return [Finding("ok", part, otherwise)]
    return [Finding("fault", part, text) for text in found]


def findings_table(title: str, findings: Iterable[Finding]) -> Table:
    """Show all findings in colours. The name of a part is shown once for findings in a row."""
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
