"""The command `hf-cycleqd`: the command line of huggingface_hub runs it as `hf cycleqd`."""

from __future__ import annotations

import click

from mergekit_cycleqd.cli.exit import run_group
from mergekit_cycleqd.cli.group import Group
from mergekit_cycleqd.cli.pull_run import pull_run
from mergekit_cycleqd.cli.push import push


@click.group(cls=Group, no_args_is_help=True)
@click.version_option(package_name="mergekit-cycleqd")
def hf_commands() -> None:
    """Publish runs of mergekit-cycleqd, and continue published runs."""


hf_commands.add_command(push)
hf_commands.add_command(pull_run)


def main_hf(args: list[str] | None = None) -> None:
    """Run `hf-cycleqd`, with the name `hf cycleqd` in its help."""
    run_group(hf_commands, args, "hf cycleqd")
