"""The table of `mergekit-cycleqd eval RUN`: every model on every task, and relative to the base."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes
from mergekit_cycleqd.run_folder.comparison import ModelTable, count_note
from mergekit_cycleqd.run_folder.retention import Column, comparable, mean_relative
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.score import Score
from mergekit_cycleqd.system.units import number


def table(
    run: RunView, models: NamedGenomes, holdout: ModelTable | None, others: Sequence[Column]
) -> Table:
    """A part per task, with a row per model, and one of means.

    Args:
        run: The run.
        models: Its models with their names.
        holdout: What is known of the holdout samples of its own tasks.
        others: What is known of other tasks, of which means are shown too.
    """
    base = Genome.from_base(run.search.family).id
    whole = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    whole.add_column("model", overflow="fold")
    for head in ("score", "std. error", "95 % interval", "of base"):
        whole.add_column(head, justify="right", no_wrap=True)
    if holdout is not None:
        _add_holdout(whole, run, holdout, base)
    for column in others:
        _add_title(whole, f"{column.title}, {column.metric}")
        for name, genome in models:
            measured = column.measured.get(genome.id)
            score, error = (measured.score, measured.error) if measured else (None, None)
            _add_score(whole, name, score, error, column.relative(genome.id, base))
    count = len(comparable(others, base))
    if count > 1:
        _add_title(whole, f"mean of {count} tasks, relative to the base")
        for name, genome in models:
            mean = number(mean_relative(others, genome.id, base), ".2f")
            whole.add_row(Text(f"  {name}"), "", "", "", mean)
    return whole


def _add_holdout(whole: Table, run: RunView, holdout: ModelTable, base: str) -> None:
    """A part for each column of the table of models."""
    metrics = {task.name: f", {task.metric_name}" for task in run.recipe.tasks}
    for place, column in enumerate(holdout.columns):
        metric = "" if column.of_all else metrics[column.name]
        note = count_note(column.samples, lower=column.lower)
        _add_title(whole, f"{column.name} on holdout samples{note}{metric}")
        of_base = next((row.cells[place] for row in holdout.rows if row.genome == base), None)
        for row in holdout.rows:
            score, ratio = row.cells[place], None
            if score is not None and of_base is not None:
                above, below = score.value, of_base.value
                if column.lower:
                    above, below = below, above
                ratio = above / below if below > 0 else None
            _add_score(whole, row.model, score, score.error if score else None, ratio)


def _add_title(whole: Table, title: str) -> None:
    whole.add_row(Text(title, style="bold"))


def _add_score(
    whole: Table, name: str, score: Score | None, error: float | None, ratio: float | None
) -> None:
    value, bounds = (score.value, score.bounds) if score else (None, "")
    cells = (f"  {name}", number(value), number(error), bounds or "–", number(ratio, ".2f"))
    whole.add_row(*map(Text, cells))
