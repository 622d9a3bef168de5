"""The command `factorize`: compute the experts' singular directions before a run."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from mergekit_cycleqd.cli.exit import EXIT_INTERRUPTED
from mergekit_cycleqd.cli.output import SafeConsole


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--device",
    type=click.Choice(["cpu", "cuda"]),
    help="Device to compute on.  [default: the device of the recipe's engine]",
)
@click.option(
    "--prune", is_flag=True, help="Remove everything from the cache that this recipe does not need."
)
def factorize(recipe: Path, device: str | None, prune: bool) -> None:
    """Compute the singular directions of RECIPE's experts ahead of a run.

    They are kept in the cache. A table shows the share of each expert's energy that leading
    directions hold, by rank.
    """
    from mergekit_cycleqd.experts.factorize import factorize_experts

    console = SafeConsole()
    try:
        factorize_experts(recipe, device, prune, console)
    except KeyboardInterrupt:
        console.print("\nstopped; what was made is kept: run the same command to go on")
        sys.exit(EXIT_INTERRUPTED)
