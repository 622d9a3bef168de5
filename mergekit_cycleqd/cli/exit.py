"""Exit codes of all commands, and errors shown as lines on stderr."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import NoReturn

import click

from mergekit_cycleqd.cli.output import complain, guard_logs
from mergekit_cycleqd.errors import CycleQDError, RecipeError, first_line, is_panic

EXIT_CANNOT_WORK = 1
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def run_group(group: click.Group, args: list[str] | None, name: str) -> None:
    """Run a group of commands. An error of this package becomes lines on stderr and exit code 2.

    Args:
        group: The commands.
        args: The command line; None for the one that the process was started with.
        name: The program's name in help and messages.
    """
    guard_logs()
    try:
        group.main(args=args, prog_name=name, standalone_mode=True)
    except CycleQDError as error:
        fail(error)
    except MemoryError:
        fail(CycleQDError("not enough memory; something that is read here is too large"))
    except BaseException as error:
        if not is_panic(error):
            raise
        fail(CycleQDError(f"a library broke off: {first_line(error)}"))


def fail(error: CycleQDError) -> NoReturn:
    """Print an error, one line per fault, and exit with code 2."""
    for line in error.faults if isinstance(error, RecipeError) else (str(error),):
        complain(f"error: {line}")
    sys.exit(EXIT_BAD_INPUT)


def run_interruptible(work: Callable[[], None]) -> None:
    """Do work that may be stopped by Ctrl-C: the same command continues it."""
    try:
        work()
    except CycleQDError:
        if sys.stderr.isatty():
            click.echo(err=True)  # a broken upload leaves its progress bar on the line
        raise
    except KeyboardInterrupt:
        click.echo("\nstopped; run the same command to go on")
        sys.exit(EXIT_INTERRUPTED)


def key_and_value(option: str, text: str) -> tuple[str, str]:
    """Split the value of an option such as ``--dataset TASK=ORG/NAME`` into key and value.

    Args:
        option: The option's name.
        text: Its value on the command line.

    Raises:
        RecipeError: If the key or the value is missing.
    """
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        form = {"--dataset": "TASK=ORG/NAME", "--path": "NAME=PATH"}[option]
        raise RecipeError([f"{option}: must be {form}, got {text!r}"])
    return name, value
