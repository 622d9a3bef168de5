"""What a run's models kept of the base: their scores on other tasks, relative to it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.report.markup import Markup, table, with_notes
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes, distinct, more_elites
from mergekit_cycleqd.run_folder.comparison import known_models
from mergekit_cycleqd.run_folder.retention import Column, columns, mean_relative, read
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.units import number


@dataclass(frozen=True)
class Others:
    """Scores on tasks that are not the run's own.

    Attributes:
        columns: One per task.
        models: Those with a score on any of them.
        base: Id of the base's genome.
    """

    columns: Sequence[Column]
    models: NamedGenomes
    base: str


def others(run: RunView) -> Others:
    """Read the scores that `mergekit-cycleqd eval` left in the run folder.

    Raises:
        JournalError: If a line of them is damaged.
    """
    found = columns(read(run.folder))
    scored = {genome for column in found for genome in column.measured}
    more: NamedGenomes = []
    if scored and run.search.archives_ready:
        more = more_elites(run.search, lambda _, elite: elite.genome.id in scored)
    models = distinct([*known_models(run), *more])
    base = Genome.from_base(run.search.family).id
    return Others(found, [named for named in models if named[1].id in scored], base)


def others_table(found: Others) -> Markup:
    """A row per model: score, interval and share of the base's score on every task."""
    head = ["model", *(column.title for column in found.columns), "mean, of base"]
    rows = [
        [
            name,
            *(_cell(column, genome.id, found.base) for column in found.columns),
            number(mean_relative(found.columns, genome.id, found.base), ".2f"),
        ]
        for name, genome in found.models
    ]
    return table("Scores on other tasks", head, rows)


def _cell(column: Column, genome: str, base: str) -> str:
    if genome not in column.measured:
        return "–"
    score = column.measured[genome].score
    ratio = column.relative(genome, base)
    note = "" if ratio is None else f"{ratio:.2f} of base"
    return with_notes(f"{score.value:.3f}", score.bounds, note)
