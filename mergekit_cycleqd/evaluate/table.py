"""The table of `mergekit-cycleqd eval RUN`: every model on every task, and relative to the base."""

from __future__ import annotations

from collections.abc import Sequence

from rich.table import Table
from rich.text import Text

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes
from mergekit_cycleqd.run_folder.retention import Column, comparable, mean_relative
from mergekit_cycleqd.run_folder.run_view import RunView


def table(
    run: RunView, models: NamedGenomes, holdout: Sequence[Column], others: Sequence[Column]
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
    for column in (*holdout, *others):
        whole.add_row(Text(f"{column.title}, {column.metric}", style="bold"))
        for name, genome in models:
            whole.add_row(*map(Text, (f"  {name}", *_cells(column, genome.id, base))))
    count = len(comparable(others, base))
    if count > 1:
        whole.add_row(Text(f"mean of {count} tasks, relative to the base", style="bold"))
        for name, genome in models:
            mean = _number(mean_relative(others, genome.id, base), 2)
            whole.add_row(Text(f"  {name}"), "", "", "", mean)
    return whole


def _cells(column: Column, genome: str, base: str) -> list[str]:
    measured = column.measured.get(genome)
    if measured is None:
        return ["–"] * 4
    score = measured.score
    interval = "–"
    if score.interval is not None:
        interval = f"[{score.interval[0]:.3f}, {score.interval[1]:.3f}]"
    relative = _number(column.relative(genome, base), 2)
    return [_number(score.value, 3), _number(measured.error, 3), interval, relative]


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:.{digits}f}"
