"""The commands `journal ...`: look after the journal of a run."""

from __future__ import annotations

from pathlib import Path

import click


@click.group()
def journal() -> None:
    """The journal of a run, from which all else in its folder comes."""


@journal.command("check")
@click.argument("run", type=click.Path(path_type=Path))
def check(run: Path) -> None:
    """Read the journal of RUN from end to end; a damaged line is named, nothing is changed."""
    from mergekit_cycleqd.run_folder.journal_check import check_journal

    print(check_journal(run))
