"""Searches with scores computed from the genome alone: no model, milliseconds."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from typing import Any

from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.candidate import Candidate, Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD

TASKS = ("a", "b", "c")
Score = Callable[[Candidate], dict[str, float]]


def recipe(tasks: tuple[str, ...] = TASKS, **evolution: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": f"expert-{t}", "task": t} for t in tasks],
            "tasks": [
                {"name": t, "task": t, "metric": "acc", "samples": {"search": "0-9"}} for t in tasks
            ],
            "evolution": {"children": 200, **evolution},
        }
    )


def scores(candidate: Candidate) -> dict[str, float]:
    """Each task likes its expert, all like some of the others, and mutation shakes it."""
    weights = candidate.genome.weights
    shake = random.Random(str(candidate.genome.terms)).gauss(0, 0.02)
    return {
        task: math.exp(-((weights[k] - 0.8) ** 2) - 0.3 * (sum(weights) - 1.4) ** 2) + shake
        for k, task in enumerate(TASKS[: len(weights)])
    }


def history(search: CycleQD) -> dict[str, list[tuple[int, str]]]:
    return {t: [(e.index, e.genome.id) for e in search.elites(t)] for t in search.tasks}


def finish(search: CycleQD, score: Score = scores) -> list[Outcome]:
    told = []
    while not search.done:
        candidate = search.ask()
        told.append(Outcome(candidate, score(candidate)))
        search.tell(candidate, told[-1].scores)
    return told
