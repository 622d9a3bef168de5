"""The command `tasks`: list the agentic and coding tasks of this package."""

from __future__ import annotations

import click

from mergekit_cycleqd.cli.output import SafeConsole


@click.command()
def tasks() -> None:
    """List the agentic and coding tasks, what each needs, and whether this machine has it."""
    from mergekit_cycleqd.tasks.needs import needs_table

    SafeConsole().print(needs_table())
