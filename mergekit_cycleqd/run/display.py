"""The progress of a run: pictures and numbers on a terminal, lines of text elsewhere."""

from __future__ import annotations

import time
from statistics import fmean
from types import TracebackType

from rich.console import Console
from rich.live import Live

from mergekit_cycleqd.run.archive_view import ArchiveView
from mergekit_cycleqd.run.terminal_view import View, pace_words, percentage
from mergekit_cycleqd.run_folder.compared_models import originals
from mergekit_cycleqd.search.cycleqd import CycleQD

LINE_SECONDS = 15.0
VIEW_SECONDS = 0.5
_LATEST = 4


class Display:
    """Shows the search as a picture on a terminal. Elsewhere it prints a line now and then.

    Attributes:
        workers: The state of the workers in a few words; the next update shows it.
    """

    def __init__(self, search: CycleQD, console: Console) -> None:
        """Show `search` on `console`."""
        self.workers = ""
        self._search = search
        self._console = console
        self._drawn = console.is_terminal and not console.is_dumb_terminal
        self._start: float | None = None
        self._start_count = 0
        self._last = float("-inf")
        self._stage = ""
        self._stage_done: tuple[int, int] | None = None
        self._quality = ""
        self._live = Live(console=console, refresh_per_second=4, transient=True)

    def __enter__(self) -> Display:
        """Start drawing, if the console is a terminal."""
        if self._drawn:
            self._live.update(self._view(""))
            self._live.start(refresh=True)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Stop drawing, and remove the picture."""
        self._live.stop()

    def say(self, message: str) -> None:
        """Print a line that stays on the terminal."""
        self._console.print(message, highlight=False, markup=False, soft_wrap=True)

    def update(self, quality: str) -> None:
        """Show the search as it is now.

        Args:
            quality: The task of the last candidate.
        """
        if self._start is None:  # the time to load the models would distort the pace
            self._start, self._start_count = time.monotonic(), self._search.told_count
        now = time.monotonic()
        self._quality = quality
        if not self._search.done and now - self._last < self._every:
            return
        self._last = now
        if self._drawn:
            self._live.update(self._view(quality))
        else:
            self.say(self._line(quality))

    @property
    def _every(self) -> float:
        """Least number of seconds between two updates, so that drawing does not slow the search."""
        return VIEW_SECONDS if self._drawn else LINE_SECONDS

    def _view(self, quality: str) -> View:
        search = self._search
        per_minute, ends = self._pace()
        return View(
            done=search.children_told,
            planned=search.recipe.evolution.children,
            told=search.told_count,
            quality=quality,
            per_minute=per_minute,
            ends=ends,
            workers=self.workers,
            archives=tuple(ArchiveView.of(archive) for archive in search.archives.values()),
            latest=self._latest(),
            best=self._best(),
            stage=self._stage or self._expert(),
            stage_done=self._stage_done,
        )

    def stage(self, words: str, done: int = 0, planned: int = 0) -> None:
        """Show what is done beside the search, with a bar; empty words end it.

        Args:
            words: What is done.
            done: How much of it is done.
            planned: How much there is to do.
        """
        self._stage = words
        self._stage_done = (done, planned) if words else None
        if self._drawn and self._live.is_started:
            self._live.update(self._view(self._quality))

    def _expert(self) -> str:
        """Which expert is being scored; empty when all were."""
        known, experts = self._search.told_count, originals(self._search)[1:-1]
        if self._search.archives_ready or known >= len(experts):
            return ""
        name = experts[known][0].removeprefix("expert: ")
        return f"scoring the expert {name}, {known + 1} of {len(experts)}"

    def _best(self) -> str:
        """The number of the best all-round elite, and its mean where a mean says something."""
        if not self._search.archives_ready:
            return ""
        best = self._search.best_all_round()
        mean = fmean(best.scores.values())
        told = "" if self._search.recipe.minimised else f", mean {mean:.3f}"
        return f"best over all tasks: candidate {best.index}{told}"

    def _line(self, quality: str) -> str:
        search = self._search
        words = [f"children {search.children_told}/{search.recipe.evolution.children}"]
        words += [f"quality {quality}", *pace_words(*self._pace()), self.workers]
        for task, archive in search.archives.items():
            elites = search.elites(task)
            best = f"{elites[0].scores[task]:.3f}" if elites else "-"
            words.append(f"{task} {best} ({percentage(archive.coverage)} filled)")
        return "  ".join(filter(None, words))

    def _latest(self) -> tuple[str, ...]:
        """The newest candidates that are elites now, newest first, in words."""
        entered: dict[int, list[str]] = {}
        for task in self._search.tasks:
            for place, elite in enumerate(self._search.elites(task)):
                entered.setdefault(elite.index, []).append(task if place else f"{task} (best)")
        newest = sorted(entered, reverse=True)[:_LATEST]
        everywhere = list(self._search.tasks)
        return tuple(
            f"#{index} {'all' if entered[index] == everywhere else ', '.join(entered[index])}"
            for index in newest
        )

    def _pace(self) -> tuple[float | None, float | None]:
        """Candidates per minute, and the expected end in seconds of the monotonic clock."""
        search, now = self._search, time.monotonic()
        done = search.told_count - self._start_count
        if self._start is None or not done or now == self._start:
            return None, None
        seconds = now - self._start
        return 60 * done / seconds, now + (search.total - search.told_count) * seconds / done
