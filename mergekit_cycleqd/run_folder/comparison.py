"""Base, experts, uniform merge, elites and aggregate, on search and holdout samples."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.compared_models import (
    NamedGenomes,
    compared_models,
    more_elites,
    originals,
)
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_counts import SPLITS
from mergekit_cycleqd.run_folder.score import Score, wilson


@dataclass(frozen=True)
class Row:
    """One model on one split.

    Attributes:
        model: Its name in the table.
        scores: By task; a task is missing where the model was not evaluated.
        mean: Over all tasks; None where one is missing.
    """

    model: str
    scores: Mapping[str, Score]
    mean: float | None


def comparison(run: RunView) -> dict[Split, list[Row]]:
    """The rows of each split that any of the models was evaluated on.

    A score has an interval where its metric is a share of the samples, which is taken for granted
    where every score of the journal on that task and split is a whole number of samples.
    """
    shares = {(split, task) for split in SPLITS for task in run.search.tasks}
    for evaluation in run.evaluations:
        for task, value in (evaluation.scores or {}).items():
            if not _is_share(value, run.counts[evaluation.split].get(task)):
                shares.discard((evaluation.split, task))
    models = known_models(run)
    if run.search.archives_ready:  # elites that `mergekit-cycleqd eval` scored besides
        models += more_elites(run.search, lambda _, elite: _on_holdout(run, elite.genome))
    table: dict[Split, list[Row]] = {}
    for split in SPLITS:
        rows = [_row(run, name, genome, split, shares) for name, genome in models]
        if any(row.scores for row in rows):
            table[split] = rows
    return table


def known_models(run: RunView) -> NamedGenomes:
    """The models that every run compares; before all its experts were told, base and experts."""
    search = run.search
    if search.archives_ready:
        return compared_models(search)
    return originals(search)[:-1]


def _on_holdout(run: RunView, genome: Genome) -> bool:
    return run.scores(genome, "holdout") is not None


def _row(
    run: RunView, name: str, genome: Genome, split: Split, shares: set[tuple[Split, str]]
) -> Row:
    found = run.scores(genome, split) or {}
    scores = {}
    for task in run.search.tasks:
        if task in found:
            count, value = run.counts[split].get(task), found[task]
            interval = wilson(value, count) if count and (split, task) in shares else None
            scores[task] = Score(value, count, interval)
    whole = len(scores) == len(run.search.tasks)
    mean = math.fsum(score.value for score in scores.values()) / len(scores) if whole else None
    return Row(name, scores, mean)


def _is_share(value: float, count: int | None) -> bool:
    return bool(count) and Score.of(value, count).interval is not None
