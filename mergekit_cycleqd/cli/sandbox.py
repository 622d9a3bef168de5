"""The commands `sandbox ...`: prepare the boxes in which code that models write is run."""

from __future__ import annotations

from pathlib import Path

import click

from mergekit_cycleqd.cli.group import Group
from mergekit_cycleqd.cli.output import SafeConsole


@click.group(cls=Group)
def sandbox() -> None:
    """Prepare the boxes in which code that models write is run."""


@sandbox.command()
@click.option(
    "--from-tar",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Use the tar of an image, as `docker export` writes it.  [default: debootstrap]",
)
def build(from_tar: Path | None) -> None:
    """Make the root folder of the boxes. One is enough: every evaluation uses it."""
    from mergekit_cycleqd.sandbox.root import build_root, import_root

    console = SafeConsole()

    def progress(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    root = import_root(from_tar, progress) if from_tar else build_root(progress)
    progress(f"sandbox root: {root}")
