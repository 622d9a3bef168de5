"""Retention: scores of a run's models on other tasks, relative to the base."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes, distinct, more_elites
from mergekit_cycleqd.run_folder.comparison import known_models
from mergekit_cycleqd.run_folder.retention import Column, columns, mean_relative, read
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.markup import Markup, table, with_notes
from mergekit_cycleqd.system.units import number


@dataclass(frozen=True)
class Others:
    """Scores on tasks that are not the run's own.

    Attributes:
        columns: One column per task.
        models: The models with a score on at least one task.
        base: Id of the base's genome.
    """

    columns: Sequence[Column]
    models: NamedGenomes
    base: str


def others(run: RunView) -> Others:
    """Read the scores that `mergekit-cycleqd eval` left in the run folder.

    Raises:
        JournalError: If a line of the file is damaged.
    """
    found = columns(read(run.folder))
    scored = {genome for column in found for genome in column.measured}
    elites: NamedGenomes = []
    if scored and run.search.archives_ready:
        elites = more_elites(run.search, lambda _, elite: elite.genome.id in scored)
    models = distinct([*known_models(run), *elites])
    base = Genome.from_base(run.search.family).id
    return Others(found, [named for named in models if named[1].id in scored], base)


def others_table(found: Others) -> Markup:
    """Make a row per model: score, interval and share of the base's score on every task."""
    head = ["model", *(column.title for column in found.columns), "mean, of base"]
    rows = [
        [
            name,
            *(_score_cell(column, genome.id, found.base) for column in found.columns),
            number(mean_relative(found.columns, genome.id, found.base), ".2f"),
        ]
        for name, genome in found.models
    ]
    return table("Scores on other tasks", head, rows)


def _score_cell(column: Column, genome: str, base: str) -> str:
    if genome not in column.measured:
        return "–"
    score = column.measured[genome].score
    ratio = column.relative(genome, base)
    note = "" if ratio is None else f"{ratio:.2f} of base"
    return with_notes(f"{score.value:.3f}", score.bounds, note)
