"""One repository of a stranger: what is in it, and what the user is told."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Files = dict[str, bytes]


def nothing(content: Any) -> None:
    """Change nothing."""


@dataclass(frozen=True)
class Words:
    """What cases may name.

    Attributes:
        canary: A file that code of the stranger would make.
        home: The victim's home folder, with secrets in it.
        secret: A folder of secrets in it.
    """

    canary: str
    home: str
    secret: str

    @property
    def shell(self) -> str:
        """A command that makes the canary."""
        return f"touch {self.canary}"

    @property
    def python(self) -> str:
        """Python code that makes the canary."""
        return f"open({self.canary!r}, 'w').close()\n"


@dataclass(frozen=True)
class Case:
    """A repository with one evil in it.

    Attributes:
        name: What it tries, for the table.
        told: A part of the line that the user sees; empty where the evil is passed over.
        files: Changes the repo's files, by path.
        recipe: Changes the recipe in it, of a model or of a run.
        header: Changes the recipe in the header of a run's journal; None for as `recipe`.
        trust: Whether the user says yes to the code of the run, which is harmless here.
    """

    name: str
    told: str
    files: Callable[[Files, Words], object] = lambda files, words: None
    recipe: Callable[[dict[str, Any], Words], object] = lambda recipe, words: None
    header: Callable[[dict[str, Any], Words], object] | None = None
    trust: bool = False
