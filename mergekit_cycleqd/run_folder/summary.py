"""summary.md: the table of a run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.choice import model_to_take
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.comparison import Column, FindScores, model_table
from mergekit_cycleqd.run_folder.paired_models import (
    HEAD,
    SPLIT,
    PairedScores,
    beside_rows,
    methods,
)
from mergekit_cycleqd.run_folder.sample_results import NO_SAMPLES, SampleResults
from mergekit_cycleqd.run_folder.verdict import verdict
from mergekit_cycleqd.run_folder.weak_experts import weak_experts
from mergekit_cycleqd.search.archive import Elite
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.markdown import markdown_table


def _repeated(elites: Sequence[Elite]) -> str:
    """What to say of elites that were evaluated more than once."""
    counts = [elite.evaluations for elite in elites if elite.evaluations > 1]
    if not counts:
        return ""
    return f", {len(counts)} evaluated more than once, up to {max(counts)} times"


def _title(column: Column, split: Split) -> str:
    """The head of a column; `sample_counts` reads the numbers of samples from it."""
    count = "" if column.of_all else f", n={column.samples or 0}"
    count += ", lower is better" * column.lower
    return f"{column.name} ({split}{count})"


def _mean(values: Sequence[float]) -> float:
    """The mean as it was always written here: `fmean` rounds some to another last digit."""
    return sum(values) / len(values)


def _beside_experts(search: CycleQD, find: FindScores, samples: SampleResults) -> str:
    """The model to take beside the best expert of each task; empty where that is not known."""
    paired = PairedScores(search, find, samples)
    taken = model_to_take(search, find).genome if paired.known else None
    found = paired.beside_experts(taken) if taken is not None and find(taken, SPLIT) else []
    if not found:
        return ""
    table = markdown_table(HEAD, beside_rows(search, found), texts=2)
    return f"## The model to take beside experts\n\n{methods()}\n\n{table}\n"


def summary(
    search: CycleQD,
    find: FindScores,
    sizes: Mapping[Split, Mapping[str, int]],
    samples: SampleResults = NO_SAMPLES,
    *,
    warned: bool = True,
) -> str:
    """The table of a run as Markdown: one row per model, search and holdout scores.

    Args:
        search: The search.
        find: Looks up the scores of a genome on a split.
        sizes: Number of samples per task, of each split.
        samples: What each sample scored, if the run keeps it.
        warned: Whether the model to take is named, and experts that are no better than the base.
    """
    splits: list[Split] = ["search", "holdout"] if sizes["holdout"] else ["search"]
    models = compared_models(search)
    head = ["model"]
    rows = [[name] for name, _ in models]
    for split in splits:
        lower = search.recipe.minimised
        found = model_table(
            models, search.tasks, split, find, sizes[split], mean=_mean, lower=lower
        )
        head += [_title(column, split) for column in found.columns]
        for cells, row in zip(rows, found.rows, strict=True):
            cells += map(Column.number, found.columns, row.cells)
    table = markdown_table(head, rows)
    taken = f"\n{' '.join(verdict(search, find, samples))}\n" if warned else ""
    archives = "\n".join(
        f"- {task}: {len(search.elites(task))} elites, coverage {archive.coverage:.1%}, "
        f"QD score {archive.qd_score:.3f}{_repeated(search.elites(task))}"
        for task, archive in search.archives.items()
    )
    planned = search.recipe.evolution.children
    several = any(e.evaluations > 1 for task in search.tasks for e in search.elites(task))
    means = " Search scores of models that were evaluated more than once are means." * several
    weak = weak_experts(search, lambda genome: find(genome, "search")).values()
    warnings = "".join(f"- Warning: {line}\n" for line in weak) if warned else ""
    return "\n".join(
        [
            "# Run summary\n",
            f"{search.children_told} of {planned} children evaluated.{_ended(search)} Elites are "
            f"chosen on search samples; holdout samples are only reported.{means}\n",
            f"{table}\n{taken}",
            *([warnings] if warnings else []),
            *([beside] if warned and (beside := _beside_experts(search, find, samples)) else []),
            f"## Archives\n\n{archives}\n",
        ]
    )


def _ended(search: CycleQD) -> str:
    """A sentence on the budget, if it ended the search."""
    early = search.done and search.children_told < search.recipe.evolution.children
    budget = search.recipe.evolution.budget
    return f" The budget of {budget} ended the search." if early and budget is not None else ""
