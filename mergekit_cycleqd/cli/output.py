"""All that commands print goes through here, so that no text of strangers acts on a terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable

import click
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from mergekit_cycleqd.system.printable import printable


def say(text: str) -> None:
    """Print a text and an end of line."""
    click.echo(printable(text))


def complain(text: str) -> None:
    """Print a text and an end of line to stderr."""
    print(printable(text), file=sys.stderr)


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
