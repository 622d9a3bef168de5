"""The command `tasks`: the agentic and coding tasks of this package."""

from __future__ import annotations

import click
from rich.console import Console


@click.command()
def tasks() -> None:
    """List the agentic and coding tasks, with what each needs and whether it is here."""
    from mergekit_cycleqd.tasks.needs import table

    Console().print(table())
