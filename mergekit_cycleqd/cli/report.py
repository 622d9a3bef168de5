"""The command `report`: write a page with figures and tables of a run."""

from __future__ import annotations

from pathlib import Path

import click

from mergekit_cycleqd.cli.output import say

_BESIDE = {"figures": (".png", ".svg"), "tables": (".csv", ".parquet")}
"""What stands beside the page, by the endings of its files."""


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder of the page.  [default: RUN/report]"
)
@click.option("--open", "show", is_flag=True, help="Open the page in a browser.")
def report(run: Path, out: Path | None, show: bool) -> None:
    """Write a page with figures and tables of RUN, which may still be running."""
    from mergekit_cycleqd.report import write_report

    page, *others = write_report(run, out)
    for what, kinds in _BESIDE.items():
        names = dict.fromkeys(file.stem for file in others if file.suffix in kinds)
        say(f"{what}, each as {' and '.join(kinds)}: {', '.join(names)}")
    say(f"page, for any browser: {page}")
    if show:
        click.launch(page.absolute().as_uri())
