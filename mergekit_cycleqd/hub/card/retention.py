"""The card's section on retention: scores on other tasks, compared with the base's."""

from __future__ import annotations

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.retention import Column, columns, comparable, mean_relative, read
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.system.markdown import markdown_table
from mergekit_cycleqd.system.units import number


def retention_section(run: RunView, title: str, genome: Genome) -> str:
    """Write the table of scores on tasks outside the run, next to the base's.

    Args:
        run: The run.
        title: The model's name in the table.
        genome: The model.

    Returns:
        The section's text; empty if the model has no such scores.

    Raises:
        JournalError: If the file of these scores in the run folder is damaged.
    """
    base = Genome.from_base(run.search.family).id
    scored = [column for column in columns(read(run.folder)) if genome.id in column.measured]
    if not scored:
        return ""
    rows = []
    for column in scored:
        shown = [_score_cell(column, base), _score_cell(column, genome.id)]
        ratio = number(column.relative(genome.id, base), ".2f")
        rows.append([column.title, f"`{column.metric}`", *shown, ratio])
    if len(comparable(scored, base)) > 1:
        rows.append(["mean", "", "", "", number(mean_relative(scored, genome.id, base), ".2f")])
    table = markdown_table(["task", "metric", "base", f"**{title}**", "of base"], rows, texts=2)
    return (
        "## Retention\n\nOn tasks that the search did not select for, scored by "
        f"lm-evaluation-harness, with 95 % intervals in brackets:\n\n{table}\n\n"
        "Of base: the score in units of the base's, turned round where lower is better, so that "
        "above 1 is better than the base."
    )


def _score_cell(column: Column, genome: str) -> str:
    return str(column.measured[genome].score) if genome in column.measured else "–"
