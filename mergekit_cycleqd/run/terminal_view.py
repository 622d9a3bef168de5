"""Draw a run on a terminal of any size."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from mergekit_cycleqd.run import block_characters
from mergekit_cycleqd.run.archive_view import PICTURED_AXES, ArchiveView

_GAP = 3
_LEAST_WIDTH = 12
_TEXT_WIDTH = 30
"""Columns that an archive gets for its name, legend and axes where there is room."""

_SCALES = (2, 1)
_ECHO = 3
"""Columns left free at the end of the last line, so that a terminal's ^C begins no new line."""


@dataclass(frozen=True)
class View:
    """A run at one moment. Rich draws it whenever the terminal is redrawn.

    Attributes:
        done: Number of evaluated children.
        planned: Number of children that the recipe asks for.
        told: Number of evaluated candidates: children and experts.
        quality: The task of the last candidate; empty before the first.
        per_minute: Candidates per minute; None if not known yet.
        ends: Expected end, in seconds of the monotonic clock; None if not known yet.
        workers: The state of the workers in words; empty for a single process.
        archives: One per task.
        latest: The newest candidates that are elites, newest first, in words.
        best: The best all-round elite in words; empty before all experts were scored.
        stage: What is done beside the search, in words; empty while children are bred.
        stage_done: How much of it is done, and of how much; None where it is not counted.
    """

    done: int
    planned: int
    told: int
    quality: str
    per_minute: float | None
    ends: float | None
    workers: str
    archives: tuple[ArchiveView, ...]
    latest: tuple[str, ...]
    best: str = ""
    stage: str = ""
    stage_done: tuple[int, int] | None = None

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Draw the numbers, and the pictures if they fit."""
        width, lines = options.max_width, console.height
        coloured = console.color_system is not None and not console.no_color
        yield self._head(width)
        yield self._now(width)
        if self.workers:
            yield Text(self.workers, no_wrap=True, overflow="ellipsis")
        yield ""
        taken = 5 + len(self.archives) + bool(self.workers) + bool(self.latest)
        if not options.ascii_only:
            yield from self._pictures(width, lines - taken, coloured)
        yield self._table(width)
        if self.latest:
            last = self._line("new elites", "   ".join(self.latest))
            last.truncate(width - _ECHO, overflow="ellipsis")
            yield last

    def _head(self, width: int) -> RenderableType:
        head = Table.grid(padding=(0, 2, 0, 0))
        cells: list[RenderableType] = [
            Text("children"),
            ProgressBar(total=self.planned, completed=self.done, width=max(8, min(32, width - 52))),
            Text(f"{self.done}/{self.planned}"),
        ]
        cells += [Text(word) for word in pace_words(self.per_minute, self.ends)]
        head.add_row(*cells)
        return head

    def _now(self, width: int) -> RenderableType:
        """What is being done: a stage with its bar, or the quality task and the best so far."""
        if self.stage_done is not None:
            done, planned = self.stage_done
            grid = Table.grid(padding=(0, 2, 0, 0))
            bar = ProgressBar(total=planned, completed=done, width=max(8, min(32, width - 52)))
            grid.add_row(Text(self.stage), bar, Text(f"{done}/{planned}"))
            return grid
        quality = self.quality or "waiting for the first scores"
        best = f"   {self.best}" if self.best else ""
        return self._line("quality", f"{quality}{best}") if not self.stage else Text(self.stage)

    def _line(self, name: str, content: str) -> Text:
        return Text(f"{name}  {content}", no_wrap=True, overflow="ellipsis")

    def _pictures(self, width: int, lines: int, coloured: bool) -> RenderResult:
        """Draw the archives as strips or side by side, as large as they fit; else nothing."""
        axes = {len(archive.axes) for archive in self.archives}
        if axes == {1} and len(self.archives) < lines:
            yield _strips(self.archives)
            yield ""
        if axes != {PICTURED_AXES}:
            return
        across = max(archive.bins[0] for archive in self.archives)
        up = max(archive.bins[1] for archive in self.archives)
        share = (width + _GAP) // len(self.archives) - _GAP
        for scale in _SCALES:
            least = max(across * scale, _LEAST_WIDTH)
            room = lines - 2 - block_characters.height(up, scale, coloured)
            if least <= share and room >= 1:
                column = max(least, min(share, _TEXT_WIDTH))
                yield _side_by_side(self.archives, scale, column, room, coloured)
                yield ""
                return

    def _table(self, width: int) -> Table:
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
        table.add_column("archive", overflow="ellipsis", no_wrap=True, max_width=max(8, width - 52))
        for name in ("best", "coverage", "QD score", "elites", "improved"):
            table.add_column(name, justify="right", no_wrap=True)
        for archive in self.archives:
            table.add_row(Text(archive.task), *(Text(cell) for cell in self._figures(archive)))
        return table

    def _figures(self, archive: ArchiveView) -> tuple[str, ...]:
        if archive.best is None or archive.newest is None:
            return "-", "0%", "-", "0", "-"
        ago = self.told - 1 - archive.newest
        return (
            f"{archive.best[0]:.3f}",
            percentage(archive.coverage),
            f"{archive.qd_score:.2f}",
            str(archive.elites),
            f"{ago} ago" if ago else "now",
        )


def _strips(archives: Sequence[ArchiveView]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for archive in archives:
        name = Text(archive.task, style="bold", overflow="ellipsis", no_wrap=True)
        axis = Text(f"→{archive.axes[0]}", style="dim", overflow="ellipsis", no_wrap=True)
        grid.add_row(name, block_characters.strip(archive.strip), axis)
    return grid


def _side_by_side(
    archives: Sequence[ArchiveView], scale: int, column: int, room: int, coloured: bool
) -> Table:
    """Archives with their names, legends and axes.

    Args:
        archives: With two axes each.
        scale: Columns per cell.
        column: Columns per archive.
        room: Lines for the axes.
        coloured: Whether the terminal shows colours.
    """
    grid = Table.grid(padding=(0, _GAP, 0, 0))
    for _ in archives:
        grid.add_column(width=column, no_wrap=True, overflow="ellipsis")
    grid.add_row(*(_titled(archive, column, coloured) for archive in archives))
    pictures = [block_characters.picture(archive.rows, scale, coloured) for archive in archives]
    for i in range(max(map(len, pictures))):
        grid.add_row(*(lines[i] if i < len(lines) else Text() for lines in pictures))
    axes = [_axes(archive, column) for archive in archives]
    if max(map(len, axes)) > room:
        axes = [[_names(archive, column)] for archive in archives]
    for line in zip_longest(*axes, fillvalue=""):
        grid.add_row(*(Text(text, style="dim") for text in line))
    return grid


def _titled(archive: ArchiveView, column: int, coloured: bool) -> Text:
    """The task, and where there is room which scores its colours stand for."""
    title = Text(archive.task, style="bold")
    if archive.best is None or archive.worst is None:
        return title
    legend = Text("  ", style="not bold dim")
    for level, score in ((0.0, archive.worst), (1.0, archive.best[0])):
        legend.append_text(block_characters.swatch(level, coloured))
        legend.append(f" {score:.2f} ")
    legend.rstrip()
    return title.append_text(legend) if len(title) + len(legend) <= column else title


def _axes(archive: ArchiveView, column: int) -> list[str]:
    """The axes with their values, on one line or on two; their names alone if that is too wide."""
    named = [
        f"{arrow}{name} {low:.2f}–{high:.2f}"
        for arrow, name, (low, high) in zip("→↑", archive.axes, archive.ranges, strict=True)
    ]
    if len(" ".join(named)) <= column:
        return [" ".join(named)]
    return named if max(map(len, named)) <= column else [_names(archive, column)]


def _names(archive: ArchiveView, column: int) -> str:
    """The names of the axes on one line, cut if need be."""
    text = "→{} ↑{}".format(*archive.axes)
    if len(text) <= column:
        return text
    room = column // 2 - 2
    return "→{} ↑{}".format(
        *(name if len(name) <= room else name[: room - 1] + "…" for name in archive.axes)
    )


def percentage(value: float) -> str:
    """Format a share in per cent. A small share gets a decimal, so that its growth is seen."""
    if not value or value >= 0.1:
        return f"{value:.0%}"
    return f"{value:.1%}" if value >= 0.0005 else "<0.1%"


def pace_words(per_minute: float | None, ends: float | None) -> list[str]:
    """Format candidates per minute and the time left; an empty list if they are not known."""
    if per_minute is None or ends is None:
        return []
    minutes, seconds = divmod(max(0, round(ends - time.monotonic())), 60)
    hours, minutes = divmod(minutes, 60)
    clock = f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
    return [f"{per_minute:.1f}/min", f"{clock} left"]
