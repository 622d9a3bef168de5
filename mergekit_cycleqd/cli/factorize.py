"""The command `factorize`: the experts' singular directions, made ahead of a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click
from rich.console import Console

from mergekit_cycleqd.cli.exit import EXIT_INTERRUPTED


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="Where to compute.  [default: as the engine]",
)
@click.option(
    "--prune", is_flag=True, help="Remove from the cache what this recipe's experts do not need."
)
def factorize(recipe: Path, device: str | None, prune: bool) -> None:
    """Make the singular directions of RECIPE's experts ahead of a run, and show what ranks keep."""
    from mergekit_cycleqd.experts.factorize import factorize as make

    console = Console()
    try:
        make(recipe, device, prune, console)
    except KeyboardInterrupt:
        console.print("\nstopped; what was made is kept: run the same command to go on")
        sys.exit(EXIT_INTERRUPTED)
