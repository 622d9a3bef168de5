"""All that commands print goes through here, so that no text of strangers acts on a terminal."""

from __future__ import annotations

import logging
import re
import sys
import warnings
from collections.abc import Callable, Iterable
from typing import Any

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mergekit_cycleqd.system.printable import printable

_COLOUR = re.compile("\x1b\\[[0-9;]*m")


def say(text: str) -> None:
    """Print a text and an end of line."""
    click.echo(printable(text))


def complain(text: str) -> None:
    """Print a text and an end of line to stderr."""
    print(printable(text), file=sys.stderr)


class _SafeRecord(logging.LogRecord):
    """A line of a library's log, in which names that strangers chose may stand."""

    def getMessage(self) -> str:
        """The message without colours, and with all else that acts on a terminal shown."""
        return printable(_COLOUR.sub("", super().getMessage()))


def guard_logs() -> None:
    """Let no log line and no warning of any library act on a terminal."""
    logging.setLogRecordFactory(_SafeRecord)
    formatted = warnings.formatwarning
    if formatted.__module__ != __name__:
        warnings.formatwarning = _guarded(formatted)


def _guarded(formatted: Callable[..., str]) -> Callable[..., str]:
    def safe(*args: Any, **options: Any) -> str:
        return printable(formatted(*args, **options))

    return safe


class SafeConsole(Console):
    """Rich's console. Rich leaves escape sequences in texts, and sends them to the terminal."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterable[Segment]:
        """Draw as rich does. Its own movements of the cursor are apart from texts."""
        for segment in super().render(renderable, options):
            shown = printable(segment.text)
            if segment.control or shown == segment.text:
                yield segment
            else:
                yield Segment(shown, segment.style)
