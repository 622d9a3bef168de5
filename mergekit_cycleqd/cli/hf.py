"""The command `hf-cycleqd`, which the command line of huggingface_hub runs as `hf cycleqd`."""

from __future__ import annotations

import click

from mergekit_cycleqd.cli.exit import run_group
from mergekit_cycleqd.cli.pull_run import pull_run
from mergekit_cycleqd.cli.push import push


@click.group(no_args_is_help=True)
@click.version_option(package_name="mergekit-cycleqd")
def commands() -> None:
    """Publish runs of mergekit-cycleqd, and go on with published ones."""


commands.add_command(push)
commands.add_command(pull_run)


def main_hf(args: list[str] | None = None) -> None:
    """Run `hf-cycleqd`, which is what `hf cycleqd` runs."""
    run_group(commands, args, "hf cycleqd")
