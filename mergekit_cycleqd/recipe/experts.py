"""The experts of a run: their order in genomes, and what tables call them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from mergekit_cycleqd.recipe.tasks import Expert


def in_genomes(experts: Sequence[Expert], tasks: Sequence[str]) -> tuple[Expert, ...]:
    """Sort experts as genomes have them: by their tasks, those without a task last.

    Args:
        experts: As the recipe lists them; among equals this order counts.
        tasks: Names of the tasks, in the recipe's order.
    """
    places = {task: place for place, task in enumerate(tasks)}
    return tuple(sorted(experts, key=lambda e: places.get(e.task or "", len(places))))


def names_of(experts: Sequence[Expert], tasks: Sequence[str]) -> tuple[str, ...]:
    """Name each expert: by its task if no other has it, else by its model too.

    Args:
        experts: In any order.
        tasks: Names of the recipe's tasks.

    Returns:
        Names such as ``coding``, ``maths (WizardMath-13B)`` or, without a task, ``Llama-2-13b``;
        no two are the same.
    """
    own = [expert.task for expert in experts]
    found: list[str] = []
    for expert in experts:
        model = expert.model.rpartition("+")[2].partition("@")[0]  # of an adapter its own name
        name = Path(model).name or model
        if expert.task is not None:
            alone = own.count(expert.task) == 1
            name = expert.task if alone else f"{expert.task} ({name})"
        found.append(name)
    for k, expert in enumerate(experts):
        if expert.task is None and found[k] in tasks:
            found[k] = f"model {found[k]}"
        plain, number = found[k], 2
        while found[k] in found[:k]:
            found[k] = f"{plain} {number}"
            number += 1
    return tuple(found)
