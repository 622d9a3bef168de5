"""The commands `journal ...`: check the journal of a run."""

from __future__ import annotations

from pathlib import Path

import click

from mergekit_cycleqd.cli.group import Group
from mergekit_cycleqd.cli.output import say


@click.group(cls=Group)
def journal() -> None:
    """Check the journal of a run, which all other files of its folder are made from."""


@journal.command("check")
@click.argument("run", type=click.Path(path_type=Path))
def check(run: Path) -> None:
    """Read the whole journal of RUN and report the first damaged line. Nothing is changed."""
    from mergekit_cycleqd.run_folder.journal_check import check_journal

    say(check_journal(run))
