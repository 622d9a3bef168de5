"""The scores of a card: of base, experts and this model, with 95 % intervals."""

from __future__ import annotations

import math

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.compared_models import originals
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.score import Score


def scores_of(run: RunView, genome: Genome, split: Split) -> dict[str, Score]:
    """The scores of exactly this genome on a split; empty if it was not evaluated there."""
    found = run.scores(genome, split) or {}
    sizes = run.counts[split]
    return {
        task: Score.of(found[task], sizes.get(task)) for task in run.search.tasks if task in found
    }


def table(run: RunView, title: str, genome: Genome, split: Split) -> str:
    """Base, experts, uniform merge and this model on a split, as Markdown; empty without scores."""
    tasks = run.search.tasks
    rows = [*originals(run.search), (f"**{title}**", genome)]
    scored = [(name, scores_of(run, each, split)) for name, each in rows]
    if not scored[-1][1]:
        return ""
    heads = [f"{task}{count_note(run, split, task)}" for task in tasks]
    lines = [["model", *heads, "mean"], ["---", *["---:"] * (len(tasks) + 1)]]
    for name, scores in scored:
        values = [scores[task].value for task in tasks if task in scores]
        mean = f"{math.fsum(values) / len(values):.3f}" if len(values) == len(tasks) else "–"
        cells = [str(scores[task]) if task in scores else "–" for task in tasks]
        lines.append([name, *cells, mean])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def count_note(run: RunView, split: Split, task: str) -> str:
    """Such as `` (n=200)``; empty where the number of samples is not known."""
    count = run.counts[split].get(task)
    return f" (n={count})" if count else ""
