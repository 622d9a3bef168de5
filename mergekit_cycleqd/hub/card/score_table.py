"""The scores of a card: of base, experts and this model, with 95 % intervals."""

from __future__ import annotations

from collections.abc import Mapping

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes, originals
from mergekit_cycleqd.run_folder.comparison import Column, ModelTable, model_table
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.score import Score
from mergekit_cycleqd.system.markdown import markdown_table


def scores_of(run: RunView, genome: Genome, split: Split) -> Mapping[str, Score]:
    """The scores of exactly this genome on a split; empty if it was not evaluated there."""
    (row,) = _table_of(run, [("", genome)], split).rows
    return row.scores


def table(run: RunView, title: str, genome: Genome, split: Split) -> str:
    """Base, experts, uniform merge and this model on a split, as Markdown; empty without scores."""
    found = _table_of(run, [*originals(run.search), (f"**{title}**", genome)], split)
    if not found.rows[-1].scores:
        return ""
    head = ["model", *(column.title for column in found.columns)]
    rows = [[row.model, *map(Column.text, found.columns, row.cells)] for row in found.rows]
    return markdown_table(head, rows)


def _table_of(run: RunView, models: NamedGenomes, split: Split) -> ModelTable:
    return model_table(
        models,
        run.search.tasks,
        split,
        run.scores,
        run.counts[split],
        lower=run.recipe.minimised,
        repeated=() if run.of_first_rules else run.recipe.repeated,  # whose cards keep their bytes
    )
