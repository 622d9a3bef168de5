"""What a run shows while it works: a bar and a row per archive on a terminal, lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn
from rich.table import Table

from mergekit_cycleqd.search import CycleQD

LINE_SECONDS = 15.0


class Display:
    """Children done, quality task, coverage and best per archive, children/min and time left.

    Attributes:
        workers: The workers in a few words, shown at the next update.
    """

    def __init__(self, search: CycleQD, console: Console) -> None:
        """Show `search` on `console`."""
        self.workers = ""
        self._search = search
        self._console = console
        self._start: float | None = None
        self._start_count = 0
        self._last_line = float("-inf")
        self._bar = Progress(
            TextColumn("children"),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TextColumn("{task.description}"),
        )
        self._task = self._bar.add_task("", total=search.recipe.evolution.children)
        self._live = Live(self._bar, console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Display:
        """Start drawing."""
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._live.stop()

    def say(self, message: str) -> None:
        """A line that stays."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def update(self, quality: str) -> None:
        """Show the search as it is now; `quality` is the task of the last candidate."""
        search = self._search
        state = "  ".join(filter(None, [f"quality {quality}", *self._pace(), self.workers]))
        if self._console.is_terminal:
            self._bar.update(self._task, completed=search.children_told, description=state)
            self._live.update(Group(self._bar, self._archives()))
            return
        now = time.monotonic()
        if search.done or now - self._last_line >= LINE_SECONDS:
            self._last_line = now
            archives = "  ".join(
                f"{task} {best} ({coverage} filled)" for task, best, coverage, _ in self._rows()
            )
            self.say(
                f"children {search.children_told}/{search.recipe.evolution.children}  "
                f"{state}  {archives}"
            )

    def _archives(self) -> Table:
        table = Table("archive", "best", "coverage", "elites", box=None, padding=(0, 2))
        for row in self._rows():
            table.add_row(*row)
        return table

    def _rows(self) -> list[tuple[str, str, str, str]]:
        rows = []
        for task, archive in self._search.archives.items():
            elites = self._search.elites(task)
            best = f"{elites[0].scores[task]:.3f}" if elites else "-"
            rows.append((task, best, f"{archive.coverage:.0%}", str(len(elites))))
        return rows

    def _pace(self) -> list[str]:
        if self._start is None:  # loading the models is not part of the pace
            self._start, self._start_count = time.monotonic(), self._search.told_count
        done = self._search.told_count - self._start_count
        seconds = time.monotonic() - self._start
        if not done or not seconds:
            return []
        left = (self._search.total - self._search.told_count) * seconds / done
        minutes, rest = divmod(round(left), 60)
        hours, minutes = divmod(minutes, 60)
        clock = f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
        return [f"{60 * done / seconds:.1f}/min", f"{clock} left"]
