"""The command `verify`: is the merged model the one that was scored?"""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mergekit_cycleqd.cli.exit import EXIT_CANNOT_WORK
from mergekit_cycleqd.cli.output import SafeConsole
from mergekit_cycleqd.cli.trust import check_trust, trust_option

_WIDTH = 120  # of the table, where there is no terminal


@click.command()
@click.argument("model", metavar="RUN|RECIPE|FOLDER|REPO")
@trust_option
def verify(model: str, trust: str | None) -> None:
    """Check that the model that was scored is the one that is merged, pushed and rebuilt.

    Of a RUN's folder, the best mutated elite is merged and compared, and scored on a few samples. A
    RECIPE of a model is merged and compared. A merged FOLDER is compared with its recipe. A REPO on
    the Hub is rebuilt and compared. Exit code 1 means that they are not the same.
    """
    check_trust(trust, Path(model))
    from mergekit_cycleqd.verify.verify import verify as work

    console = SafeConsole()
    if not console.is_terminal:
        console = SafeConsole(width=_WIDTH)
    if not work(model, console):
        sys.exit(EXIT_CANNOT_WORK)
