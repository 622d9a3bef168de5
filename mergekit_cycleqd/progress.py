"""What a run shows while it works: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from mergekit_cycleqd.search import CycleQD

LINE_SECONDS = 15.0


class Display:
    """Children done, quality task, coverage and best per archive, children/min and time left."""

    def __init__(self, search: CycleQD, console: Console) -> None:
        """Show `search` on `console`."""
        self._search = search
        self._console = console
        self._experts = len(search.tasks)
        self._start: float | None = None
        self._start_count = 0
        self._last_line = float("-inf")
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rest]}"),
            console=console,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("children", total=search.recipe.evolution.children, rest="")

    def __enter__(self) -> Display:
        """Start drawing."""
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing."""
        self._bar.stop()

    def say(self, message: str) -> None:
        """A line that stays."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def update(self, quality: str) -> None:
        """Show the search as it is now; `quality` is the task of the last candidate."""
        children = max(0, self._search.told_count - self._experts)
        parts = [f"quality {quality}", *map(self._archive, self._search.tasks), *self._pace()]
        rest = "  ".join(parts)
        self._bar.update(self._task, completed=children, rest=rest)
        now = time.monotonic()
        finished = self._search.done
        if not self._console.is_terminal and (finished or now - self._last_line >= LINE_SECONDS):
            self._last_line = now
            self.say(f"children {children}/{self._search.recipe.evolution.children}  {rest}")

    def _archive(self, task: str) -> str:
        elites = self._search.elites(task)
        if not elites:
            return f"{task} -"
        coverage = self._search.archives[task].coverage
        return f"{task} {elites[0].scores[task]:.3f} ({coverage:.0%} filled)"

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
