"""Experts that are no better than the base at their own task, of which no merge can gain."""

from __future__ import annotations

from collections.abc import Callable

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.scores import Scores


def weak_experts(search: CycleQD, find: Callable[[Genome], Scores | None]) -> dict[int, str]:
    """Say of each expert of a task that it is no better there than the base, if both were scored.

    Of an expert that was evaluated again, the first scores count: they are on the base's samples.

    Args:
        search: The search.
        find: Looks up the scores of a genome on search samples.

    Returns:
        A line per such expert, by its place in genomes.
    """
    base = find(Genome.from_base(search.family)) or {}
    lower = search.recipe.minimised
    first = search.expert_scores
    found = {}
    names = search.recipe.expert_names
    for number, expert in enumerate(search.recipe.ordered_experts):
        task = expert.task
        told = first[number] if number < len(first) else None
        own = told or find(Genome.from_expert(search.family, number)) or {}
        if task is None or task not in own or task not in base:
            continue
        better = own[task] < base[task] if task in lower else own[task] > base[task]
        if not better:
            who = f"of {task}" if names[number] == task else names[number]
            found[number] = (
                f"the expert {who} is no better than the base at its own task: "
                f"{own[task]:.3f} and {base[task]:.3f} on search samples"
            )
    return found
