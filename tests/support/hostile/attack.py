"""An attack that is more than the files of one repository: who takes it, and what is looked at."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mergekit_cycleqd.run_folder.pulled import code_of
from tests.support.hostile.watch import Seen

if TYPE_CHECKING:
    from tests.support.hostile.stage import Stage

Take = Callable[["Stage", Path], Iterator[Seen]]


@dataclass(frozen=True)
class Attack:
    """One attack.

    Attributes:
        name: What it tries, for the table.
        told: A part of the line that the user sees; empty where the evil is passed over.
        take: Lets the victim run commands, in a folder of the attack's own.
    """

    name: str
    told: str
    take: Take


class Folder:
    """A run folder of a stranger, as it comes out of an archive or from git.

    Attributes:
        run: The folder.
        home: The victim's home folder.
        trust: Options by which the victim says yes to the code of the run, which is harmless.
    """

    def __init__(self, stage: Stage, place: Path) -> None:
        """Put an honest run there."""
        self.run = place / "run"
        shutil.copytree(stage.honest_run, self.run)
        self.home = stage.victim.folder / "home"
        self.trust = ("--trust", code_of(self.run).digest)

    def link(self, name: str, target: Path | str) -> None:
        """Put a link in the place of a file or folder of the run."""
        path = self.run / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            shutil.rmtree(path)
        path.unlink(missing_ok=True)
        path.symlink_to(target)
