"""The command `import-evolve`: convert a configuration of mergekit-evolve into a recipe."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from mergekit_cycleqd.cli.output import say
from mergekit_cycleqd.errors import RecipeError


@click.command("import-evolve")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--out", type=click.Path(path_type=Path), help="New file to write.  [default: standard output]"
)
def import_evolve(file: Path, out: Path | None) -> None:
    """Convert FILE, a configuration of mergekit-evolve, into the recipe of a run."""
    from mergekit_cycleqd.recipe.from_mergekit_evolve import convert, read_evolve, write_new

    evolve = read_evolve(file)
    try:
        text = convert(evolve, file.name)
    except RecipeError as error:
        raise RecipeError([f"{file}: {fault}" for fault in error.faults]) from None
    if out is None:
        say(text.removesuffix("\n"))
    else:
        write_new(text, out)
        say(f"{out}: read its comments, then: mergekit-cycleqd plan {shlex.quote(str(out))}")
