"""The tables of a run as data frames of pandas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.report.curves import Curves
from mergekit_cycleqd.report.libraries import load
from mergekit_cycleqd.report.tables import Rows, curve_rows
from mergekit_cycleqd.run_folder import choice
from mergekit_cycleqd.run_folder.compared_models import distinct
from mergekit_cycleqd.run_folder.comparison import ModelTable, comparison, known_models, table_of
from mergekit_cycleqd.run_folder.run_view import RunView

if TYPE_CHECKING:
    from pandas import DataFrame


def tables(run: RunView) -> dict[Split, ModelTable]:
    """The models that every run compares, equal ones once, on each split that has scores."""
    models = distinct(known_models(run))
    return {split: table_of(run, models, split) for split in comparison(run)}


def scores(run: RunView) -> DataFrame:
    """A row for each model and kind of samples, a column for each task and for the mean."""
    rows: Rows = [
        {
            "samples": split,
            "model": row.model,
            **{
                column.name: None if cell is None else cell.value
                for column, cell in zip(table.columns, row.cells, strict=True)
            },
            "genome": row.genome,
        }
        for split, table in tables(run).items()
        for row in table.rows
    ]
    return _frame(rows, ["samples", "model"])


def elites(run: RunView) -> DataFrame:
    """A row for each elite of each archive: scores, measures, weights, parents."""
    rows: Rows = [
        {
            "archive": task,
            "candidate": elite.index,
            **{name: elite.scores[name] for name in run.search.tasks},
            **elite.measures,
            **_weights(run, elite.genome.weights),
            "terms": len(elite.genome.terms),
            "parents": tuple(elite.parents),
            "evaluations": elite.evaluations,
            "genome": elite.genome.id,
        }
        for task in run.search.archives
        for elite in run.search.elites(task)
    ]
    return _frame(rows, ["archive", "candidate"])


def candidates(run: RunView) -> DataFrame:
    """A row for each evaluation of a candidate on search samples."""
    rows: Rows = [
        {
            "candidate": each.index,
            "turn": each.task,
            "status": each.status,
            **{name: (each.scores or {}).get(name) for name in run.search.tasks},
            "parents": tuple(each.parents),
            "seconds": each.seconds,
            "worker": each.worker,
            "error": each.error,
        }
        for each in run.evaluations
        if each.index is not None
    ]
    return _frame(rows, ["candidate"])


def front(run: RunView) -> DataFrame:
    """A row for each model of the Pareto front; the aggregate has no number."""
    worth = choice.worth_of(run.search)
    every = choice.choices(run.search, run.scores)
    rows: Rows = [
        {"model": each.name, **each.scores, "recipe": each.recipe, "genome": each.genome.id}
        for each in choice.ranked(choice.front(every, worth), worth)
    ]
    return _frame(rows, ["model"])


def curves(found: Curves | None) -> DataFrame:
    """A row for each number of children and archive."""
    return _frame(curve_rows(found) if found else [], ["children", "archive"])


def _weights(run: RunView, weights: tuple[float, ...]) -> Mapping[str, float]:
    names = (f"weight of {name}" for name in run.recipe.expert_names)
    return dict(zip(names, weights, strict=True))


def _frame(rows: Rows, index: list[str]) -> DataFrame:
    """A data frame with some of the columns as its index."""
    frame = load("pandas").DataFrame(rows)
    found: DataFrame = frame.set_index(index) if rows else frame
    return found
