"""The command `mergekit-cycleqd`. Each of its commands has a file in this folder."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from mergekit_cycleqd.cli.dequantize import dequantize
from mergekit_cycleqd.cli.eval import evaluate
from mergekit_cycleqd.cli.exit import run_group
from mergekit_cycleqd.cli.export import export
from mergekit_cycleqd.cli.factorize import factorize
from mergekit_cycleqd.cli.group import HELP, Group
from mergekit_cycleqd.cli.import_evolve import import_evolve
from mergekit_cycleqd.cli.init import init
from mergekit_cycleqd.cli.journal import journal
from mergekit_cycleqd.cli.merge import merge
from mergekit_cycleqd.cli.pick import pick
from mergekit_cycleqd.cli.plan import plan
from mergekit_cycleqd.cli.pull_run import pull_run
from mergekit_cycleqd.cli.push import push
from mergekit_cycleqd.cli.report import report
from mergekit_cycleqd.cli.run import run
from mergekit_cycleqd.cli.sandbox import sandbox
from mergekit_cycleqd.cli.tasks import tasks
from mergekit_cycleqd.cli.verify import verify
from mergekit_cycleqd.errors import RecipeError, nearest


class _Commands(Group):
    """A group of commands that takes any other first word as a recipe to run."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        first = args[0] if args else ""
        if not first.startswith("-") and first not in self.commands and not ctx.resilient_parsing:
            known = self.list_commands(ctx)
            if first and not any(mark in first for mark in "./\\") and not Path(first).exists():
                end = nearest(first, known)
                raise RecipeError([f"{first}: neither a command nor a recipe's file{end}"])
        if args and first not in (*self.commands, *HELP, "--version"):
            args = ["run", *args]
        return super().parse_args(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> list[CompletionItem]:
        """Offer files beside the commands, since a recipe may stand in a command's place."""
        return [*super().shell_complete(ctx, incomplete), CompletionItem(incomplete, type="file")]


@click.group(cls=_Commands, no_args_is_help=True)
@click.version_option(package_name="mergekit-cycleqd")
def commands() -> None:
    """Evolve merges of expert models by quality diversity (CycleQD, arXiv:2410.14735).

    `mergekit-cycleqd recipe.yaml` starts or continues the run of a run recipe. A model recipe, as
    mergekit reads it, is merged. `init` writes a run recipe.
    """


for _command in (
    init,
    run,
    plan,
    merge,
    verify,
    report,
    pick,
    evaluate,
    push,
    pull_run,
    export,
    import_evolve,
    factorize,
    dequantize,
    tasks,
    journal,
    sandbox,
):
    commands.add_command(_command)


def main(args: list[str] | None = None) -> None:
    """Run `mergekit-cycleqd`. An error of this package becomes lines on stderr and exit code 2.

    Args:
        args: The command line; None for the one that the process was started with.
    """
    run_group(commands, args, "mergekit-cycleqd")
