"""Open a run folder in Python: `open_run`."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.notebook import frames
from mergekit_cycleqd.notebook.pictures import Picture, picture_of_archive, picture_of_run
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.report.curves import curves
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.verdict import verdict
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.shown import archives_table
from mergekit_cycleqd.system.markup import Markup, element, inside, table
from mergekit_cycleqd.system.units import number

if TYPE_CHECKING:
    from pandas import DataFrame


class Run:
    """A run as its folder told it when it was opened. No model is loaded, no file is written.

    Attributes:
        folder: The run folder.
        recipe: The run's recipe.
        search: The search after all that it was told.
    """

    folder: Path
    recipe: Recipe
    search: CycleQD

    def __init__(self, view: RunView) -> None:
        """Show a run that was read."""
        self._view = view
        self.folder, self.recipe, self.search = view.folder, view.recipe, view.search

    @property
    def archives(self) -> Mapping[str, TaskArchive]:
        """The archive of each task, by its name."""
        return self.search.archives

    @property
    def best(self) -> Elite:
        """The best all-round elite.

        Raises:
            SearchError: If not all experts were evaluated yet.
        """
        self._need_archives()
        return self.search.best_all_round()

    @property
    def scores(self) -> DataFrame:
        """Base, experts, merges and elites as `summary.md` has them, by samples and model."""
        return frames.scores(self._view)

    @property
    def elites(self) -> DataFrame:
        """All elites by archive and candidate, the best of each archive first."""
        return frames.elites(self._view)

    @property
    def candidates(self) -> DataFrame:
        """Every evaluation of a candidate, in the journal's order, by number."""
        return frames.candidates(self._view)

    @property
    def front(self) -> DataFrame:
        """The Pareto front, the best over all tasks first: what `pick --front` prints."""
        self._need_archives()
        return frames.front(self._view)

    @property
    def curves(self) -> DataFrame:
        """QD score, coverage and best score of each archive, by the number of children."""
        return frames.curves(curves(self._view))

    def genome(self, candidate: int) -> Genome:
        """The genome of any candidate.

        Args:
            candidate: Its number.

        Raises:
            SearchError: If the run has no such candidate.
        """
        if candidate not in self._view.told:
            last = max(self._view.told, default=-1)
            raise SearchError(
                f"{self.folder}: needs the number of a candidate, 0 to {last}, got {candidate}"
            )
        return self._view.told[candidate].candidate.genome

    def plot(self, task: str | None = None) -> Picture:
        """Draw the archives. A star is where the best all-round elite lies.

        Args:
            task: Draw all pairs of axes of this task's archive. By default, the first pair of
                every archive is drawn.

        Raises:
            ReportError: If matplotlib is not installed.
            SearchError: If no task has this name, or not all experts were evaluated yet.
        """
        self._need_archives()
        if task is None:
            return picture_of_run(self.search)
        self.search.elites(task)  # checks the name
        return picture_of_archive(self.archives[task])

    def _need_archives(self) -> None:
        if self._view.lack:
            raise SearchError(self._view.lack)

    def __repr__(self) -> str:
        view = self._view
        planned = self.recipe.evolution.children
        best = ""
        if self.search.archives_ready:
            taken = self.search.best_all_round()
            values = ", ".join(f"{task} {score:.3f}" for task, score in taken.scores.items())
            best = f", best over all tasks is candidate {taken.index} ({values})"
        told = view.search.children_told
        return f"<Run {self.folder}: {told:,} of {planned:,} children told{best}>"

    def _repr_html_(self) -> str:
        view, search = self._view, self.search
        planned = self.recipe.evolution.children
        told = f"Run {self.folder}: {search.children_told:,} of {planned:,} children told."
        parts = [element("p", told)]
        if search.archives_ready:
            parts += [element("p", " ".join(verdict(search, view.scores)).replace("`", ""))]
        return inside([*parts, *self._scores_tables(), Markup(archives_table(self.archives))])

    def _scores_tables(self) -> list[Markup]:
        return [
            table(
                f"Scores on {split} samples",
                ["model", *(column.title for column in found.columns)],
                [
                    [row.model, *(number(cell.value if cell else None) for cell in row.cells)]
                    for row in found.rows
                ],
            )
            for split, found in frames.tables(self._view).items()
        ]


def open_run(folder: str | os.PathLike[str]) -> Run:
    """Open a run folder to look at, whether or not a run is going on in it.

    Args:
        folder: Such as ``runs/my-run``.

    Raises:
        JournalError: If there is no run, or its journal is damaged.
    """
    return Run(RunView.read(Path(folder)))
