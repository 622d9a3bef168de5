"""The command `report`: write a page with figures and tables of a run."""

from __future__ import annotations

from pathlib import Path

import click

from mergekit_cycleqd.cli.output import say


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the page.  [default: RUN/report]"
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def report(run: Path, out: Path | None, show: bool) -> None:
    """Write a page with figures and tables of RUN, which may still be running."""
    from mergekit_cycleqd.report import write_report

    files = write_report(run, out)
    for file in files:
        say(str(file))
    if show:
        click.launch(files[0].absolute().as_uri())
