"""What trying a fault came to."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path


@dataclass
class Outcome:
    """One row of the page.

    Attributes:
        fault: What was done to a run.
        tried: How often.
        wrong: A line for each time that something was lost or wrong.
        told: The line that the user saw, the last one of several; empty where nothing is said.
    """

    fault: str
    tried: int = 0
    wrong: list[str] = field(default_factory=list)
    told: str = ""

    def expect(self, right: bool, otherwise: str) -> None:
        """Note that something is wrong, unless it is right."""
        if not right:
            self.wrong.append(otherwise)

    def tell(self, text: str, saying: str, folder: Path) -> None:
        """Note the line that says something, and that one does.

        Args:
            text: All that the user saw.
            saying: What the line must hold.
            folder: Stands as `...` in the page.
        """
        lines = [line for line in text.splitlines() if saying in line]
        self.expect(bool(lines), f"nothing said {saying!r} but {text[-300:]!r}")
        self.expect("Traceback" not in text, f"a traceback: {text[-2000:]}")
        for line in lines[-1:]:
            short = re.sub(re.escape(str(folder)) + r"(/[\w-]+-\d+)?", "...", line)
            self.told = re.sub(r"\bpid \d+", "pid N", short)
