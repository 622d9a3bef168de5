"""The command `import-evolve`: convert a configuration of mergekit-evolve into a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mergekit_cycleqd.cli.output import say


@click.command("import-evolve")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="New file to write.  [default: standard output]"
)
def import_evolve(file: Path, out: Path | None) -> None:
    """Convert FILE, a configuration of mergekit-evolve, into the recipe of a run."""
    from mergekit_cycleqd.recipe.from_mergekit_evolve import convert, read_evolve, write_new

    text = convert(read_evolve(file), file.name)
    if out is None:
        say(text.removesuffix("\n"))
    else:
        write_new(text, out)
        say(f"{out}: look for FILL IN, then: mergekit-cycleqd plan {shlex.quote(str(out))}")
