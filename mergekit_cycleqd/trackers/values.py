"""What a tracker is told: names and numbers, and nothing that could be a secret."""

from __future__ import annotations

from typing import Any

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import SPLITS
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.comparison import FindScores, model_table
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD

_OF_TASKS = frozenset(
    {"name", "task", "metric", "maximize", "bins", "samples", "repeats", "pass_at"}
)
Row = list[str | float | None]


def settings(recipe: Recipe) -> dict[str, Any]:
    """What a run depends on, less all that its tasks are given: there may be passwords in it."""
    return {
        "base_model": recipe.base_model,
        "experts": {
            name: expert.model
            for name, expert in zip(recipe.expert_names, recipe.ordered_experts, strict=True)
        },
        "tasks": [task.model_dump(mode="json", include=set(_OF_TASKS)) for task in recipe.tasks],
        "evolution": recipe.evolution.model_dump(mode="json") | {"lag": recipe.lag},
        "engine": recipe.engine.model_dump(mode="json"),
    }


def candidate_values(record: Record, search: CycleQD) -> dict[str, float]:
    """A candidate's scores and time, and what the archives are after it.

    Args:
        record: Of a candidate that the search was told.
        search: The search.
    """
    assert record.candidate is not None
    values = {
        "candidate": float(record.candidate.index),
        "seconds": record.seconds,
        "failed": float(record.status == "failed"),
    }
    for task, score in (record.scores or {}).items():
        values[f"score/{task}"] = score
    for task, archive in search.archives.items():
        values[f"coverage/{task}"] = archive.coverage
        values[f"qd_score/{task}"] = archive.qd_score
        if elites := search.elites(task):
            values[f"best/{task}"] = elites[0].scores[task]
    return values


def model_rows(search: CycleQD, find: FindScores) -> tuple[list[str], list[Row]]:
    """The columns and rows of the table that ends a run; None where there is no score."""
    models = compared_models(search)
    head = ["model"]
    rows: list[Row] = [[name] for name, _ in models]
    lower = search.recipe.minimised
    for split in SPLITS:
        found = model_table(models, search.tasks, split, find, {}, lower=lower).standing_alone()
        head += [f"{split}/{column.name}" for column in found.columns]
        for values, row in zip(rows, found.rows, strict=True):
            values += [None if cell is None else cell.value for cell in row.cells]
    return head, rows
