"""The command `plan`: check a recipe and forecast its run."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import click

from mergekit_cycleqd.cli.exit import EXIT_CANNOT_WORK, EXIT_INTERRUPTED
from mergekit_cycleqd.cli.output import SafeConsole
from mergekit_cycleqd.cli.trust import check_trust, trust_option


@click.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the planned run.  [default: runs/<name of the recipe>]",
)
@click.option(
    "--download", is_flag=True, help="Download missing models, so that they can be measured."
)
@trust_option
def plan(recipe: Path, out: Path | None, download: bool, trust: str | None) -> None:
    """Check what RECIPE needs, and forecast the time, disk and memory of its run.

    The exit code is 1 if the run cannot work.
    """
    out = out or Path("runs") / recipe.stem
    check_trust(trust, recipe, out)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    began = time.monotonic()  # a run spends the time of these imports too
    from mergekit_cycleqd.plan.plan import plan_run

    console = SafeConsole()
    try:
        works = plan_run(recipe, out, download=download, console=console, began=began)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    if not works:
        sys.exit(EXIT_CANNOT_WORK)
