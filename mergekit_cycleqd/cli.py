"""The command `mergekit-cycleqd`."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path

import click
from rich.console import Console

from mergekit_cycleqd import hub_commands
from mergekit_cycleqd.errors import CycleQDError, RecipeError

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


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
    from mergekit_cycleqd.merge_command import merge as with_mergekit  # seconds to import

    with_mergekit.main(args=list(args), prog_name="mergekit-cycleqd merge")


@commands.command()
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Folder of the run or the model.  [default: runs/<name of the recipe>]",
)
def run(recipe: Path, out: Path | None) -> None:
    """Run RECIPE, or go on with it; a model recipe is merged into the folder."""
    from mergekit_cycleqd.recipe_file import read_yaml

    out = out or Path("runs") / recipe.stem
    content = read_yaml(recipe)
    if isinstance(content, Mapping) and "merge_method" in content:
        _merge(recipe, out)
    else:
        _search(recipe, out)


def _merge(recipe: Path, out: Path) -> None:
    from mergekit.options import MergeOptions

    from mergekit_cycleqd.merge_command import merge_recipe

    merge_recipe(recipe, out, MergeOptions())


def _search(recipe: Path, out: Path) -> None:
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("TQDM_DISABLE", "1")  # a bar per task would bury the one of the run
    from mergekit_cycleqd.preparing import prepare
    from mergekit_cycleqd.run import Run

    console = Console()
    prepared = prepare(recipe)
    with Run(prepared, out, console) as current:
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
        from mergekit_cycleqd.hub.push import push

        push(out, prepared.recipe.publish, click.echo)


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
    from mergekit_cycleqd.factorize import factorize as make

    console = Console()
    try:
        make(recipe, device, prune, console)
    except KeyboardInterrupt:
        console.print("\nstopped; what was made is kept: run the same command to go on")
        sys.exit(EXIT_INTERRUPTED)


@commands.command("eval")
@click.argument("model")
@click.option("--tasks", required=True, help="Names of lm-eval tasks, with commas between.")
@click.option("--samples", help='Which documents of every task, such as "0-19".  [default: all]')
@click.option("--metadata", default="{}", help="Options of the tasks, as a JSON mapping.")
@click.option("--include-path", type=click.Path(exists=True, file_okay=False), help="More tasks.")
@click.option("--apply-chat-template", is_flag=True, help="For lm-eval's own tasks.")
@click.option("--device", default="auto", show_default=True)
@click.option("--dtype", default="auto", show_default=True)
@click.option("--batch-size", default="auto", show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="All results and samples, as JSON.")
def evaluate(
    model: str,
    tasks: str,
    samples: str | None,
    metadata: str,
    include_path: str | None,
    apply_chat_template: bool,
    device: str,
    dtype: str,
    batch_size: str,
    out: Path | None,
) -> None:
    """Score MODEL on lm-eval's tasks and ours: a Hub id, a folder, or an elite's recipe."""
    from mergekit_cycleqd import eval_command

    settings = {"device": device, "dtype": dtype, "batch_size": batch_size}
    print(
        eval_command.evaluate(
            model,
            [name.strip() for name in tasks.split(",")],
            eval_command.engine(settings),
            metadata=eval_command.options(metadata),
            include_path=include_path,
            samples=eval_command.sample_ids(samples),
            apply_chat_template=apply_chat_template,
            out=out,
        )
    )


@commands.command()
def tasks() -> None:
    """List the agentic and coding tasks, with what each needs and whether it is here."""
    from mergekit_cycleqd.evaluators.needs import table

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
    from mergekit_cycleqd.journal_check import check_journal

    print(check_journal(run))


commands.add_command(hub_commands.push)
commands.add_command(hub_commands.pull_run)


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
