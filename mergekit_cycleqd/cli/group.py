"""A group of commands: `-h` beside `--help`, and summaries that are not cut at the line's end."""

from __future__ import annotations

from typing import Any

import click

HELP = ("-h", "--help")
_UNCUT = 1000


class Group(click.Group):
    """A click group whose help wraps the first sentence of each command."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        """Take the arguments of `click.Group`."""
        super().__init__(*args, **kwargs, context_settings={"help_option_names": list(HELP)})

    def add_command(self, cmd: click.Command, name: str | None = None) -> None:
        """Take a command, which gets the short option of help too."""
        cmd.context_settings.setdefault("help_option_names", list(HELP))
        super().add_command(cmd, name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the name and the first sentence of each command."""
        rows = [(name, self.commands[name].get_short_help_str(_UNCUT)) for name in self.commands]
        with formatter.section("Commands"):
            formatter.write_dl(rows)
