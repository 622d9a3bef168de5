"""The command `mergekit-cycleqd`."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
from rich.console import Console

from mergekit_cycleqd.cli import eval, push
from mergekit_cycleqd.errors import CycleQDError, RecipeError
from mergekit_cycleqd.system.interrupts import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from mergekit_cycleqd.trackers.tracker import Kind

EXIT_CANNOT_WORK = 1
EXIT_BAD_INPUT = 2


class _Commands(click.Group):
    """Commands by name; what is no command is a recipe to run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.list_commands(ctx), "--help", "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)


@click.group(cls=_Commands, no_args_is_help=True)
@click.version_option(package_name="mergekit-cycleqd")
def commands() -> None:
    """Evolve merges of expert models by quality diversity (CycleQD, arXiv:2410.14735).

    `mergekit-cycleqd recipe.yaml` runs the recipe of a run, or merges the recipe of a model.
    """


@commands.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("args", nargs=-1, type=click.UNPROCESSED)
def merge(args: tuple[str, ...]) -> None:
    """Merge the recipe of a model; takes every option of mergekit-yaml."""
    from mergekit_cycleqd.mergekit_plugin.merge_recipe import (
        merge as with_mergekit,  # seconds to import
    )

    with_mergekit.main(args=list(args), prog_name="mergekit-cycleqd merge")


@commands.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run or the model.  [default: runs/<name of the recipe>]",
)
@click.option(
    "--tracker",
    type=click.Choice(["trackio", "wandb", "none"]),
    default="none",
    show_default=True,
    help="Log the run there besides.",
)
def run(recipe: Path, out: Path | None, tracker: Kind) -> None:
    """Run RECIPE, or go on with it; a model recipe is merged into the folder."""
    from mergekit_cycleqd.recipe.load import read_yaml

    out = out or Path("runs") / recipe.stem
    content = read_yaml(recipe)
    if isinstance(content, Mapping) and "merge_method" in content:
        _merge(recipe, out)
    else:
        _search(recipe, out, tracker)


def _merge(recipe: Path, out: Path) -> None:
    from mergekit.options import MergeOptions

    from mergekit_cycleqd.mergekit_plugin.merge_recipe import merge_recipe

    merge_recipe(recipe, out, MergeOptions())


def _search(recipe: Path, out: Path, tracker: Kind) -> None:
    from mergekit_cycleqd.trackers.base import check as check_tracker

    check_tracker(tracker)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # a bar per task would bury the one of the run
    from mergekit_cycleqd.run.prepare import prepare
    from mergekit_cycleqd.run.run import Run

    console = Console()
    prepared = prepare(recipe, out)
    for line in prepared.warnings:
        console.print(f"warning: {line}", highlight=False, markup=False, soft_wrap=True)
    with Run(prepared, out, console, tracker) as current:
        try:
            current.go()
        except KeyboardInterrupt:
            again = f"mergekit-cycleqd {shlex.quote(str(recipe))} --out {shlex.quote(str(out))}"
            console.print(
                f"stopped after {current.search.children_told} of "
                f"{current.search.recipe.evolution.children} children; nothing is lost. "
                f"To go on: {again}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
            sys.exit(EXIT_INTERRUPTED)
    console.print(f"files of the run: {out}", highlight=False, markup=False, soft_wrap=True)
    if prepared.recipe.publish is not None:
        push.publish_run(out, prepared.recipe.publish)


@commands.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder that the run will have.  [default: runs/<name of the recipe>]",
)
@click.option("--download", is_flag=True, help="Download models that are not here, to measure.")
def plan(recipe: Path, out: Path | None, download: bool) -> None:
    """Check what RECIPE needs, and forecast its run; exit code 1 where it cannot work."""
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")
    began = time.monotonic()  # what is imported now, a run imports as well
    from mergekit_cycleqd.plan.plan import plan as made

    out, console = out or Path("runs") / recipe.stem, Console()
    try:
        works = made(recipe, out, download=download, console=console, began=began)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    if not works:
        sys.exit(EXIT_CANNOT_WORK)


@commands.command("import-evolve")
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="New file.  [default: print it]")
def import_evolve(file: Path, out: Path | None) -> None:
    """Make the recipe of a run from FILE, a configuration of mergekit-evolve."""
    from mergekit_cycleqd.recipe.from_mergekit_evolve import convert, read_evolve, write_new

    text = convert(read_evolve(file), file.name)
    if out is None:
        print(text, end="")
    else:
        write_new(text, out)
        print(f"{out}: look for FILL IN, then: mergekit-cycleqd plan {shlex.quote(str(out))}")


@commands.command()
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


@commands.command()
def tasks() -> None:
    """List the agentic and coding tasks, with what each needs and whether it is here."""
    from mergekit_cycleqd.tasks.needs import table

    Console().print(table())


@commands.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--out", type=click.Path(path_type=Path), help="Folder.  [default: RUN/report]")
@click.option("--open", "show", is_flag=True, help="Show the page in a browser.")
def report(run: Path, out: Path | None, show: bool) -> None:
    """Write a page with figures and tables of RUN, finished or going on."""
    from mergekit_cycleqd.report import write_report

    files = write_report(run, out)
    for file in files:
        print(file)
    if show:
        click.launch(files[0].absolute().as_uri())


@commands.group()
def journal() -> None:
    """The journal of a run, from which all else in its folder comes."""


@journal.command("check")
@click.argument("run", type=click.Path(path_type=Path))
def check(run: Path) -> None:
    """Read the journal of RUN from end to end; a damaged line is named, nothing is changed."""
    from mergekit_cycleqd.run_folder.journal_check import check_journal

    print(check_journal(run))


commands.add_command(eval.evaluate)
commands.add_command(push.push)
commands.add_command(push.pull_run)


@commands.group()
def sandbox() -> None:
    """The boxes in which what models write is run."""


@sandbox.command()
@click.option(
    "--from-tar",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Make it of the tar of an image, such as `docker export` writes.  [default: debootstrap]",
)
def build(from_tar: Path | None) -> None:
    """Make the root folder of the boxes, once; every evaluation then finds it."""
    from mergekit_cycleqd.sandbox.root import build_root, import_root

    console = Console()

    def progress(line: str) -> None:
        console.print(line, highlight=False, markup=False, soft_wrap=True)

    root = import_root(from_tar, progress) if from_tar else build_root(progress)
    progress(f"sandbox root: {root}")


def main(args: list[str] | None = None) -> None:
    """Run the command; what this package reports becomes lines on stderr and exit code 2."""
    try:
        commands.main(args=args, prog_name="mergekit-cycleqd", standalone_mode=True)
    except CycleQDError as error:
        _fail(error)


def _fail(error: CycleQDError) -> None:
    lines = error.faults if isinstance(error, RecipeError) else (str(error),)
    for line in lines:
        print(f"error: {line}", file=sys.stderr)
    sys.exit(EXIT_BAD_INPUT)
