"""Scores of the kept runs that are functions: how near a model is to an expert, sample by sample.

A score is a whole number of 64ths. What it is rounded from depends smoothly on the weights, and
`nearest_edge` says how far the closest one so far was from another 64th, so that whoever makes
such a run can see that no processor's rounding reaches it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import kept_family

MATRICES = {
    task: [
        name
        for name in kept_family.shapes()
        if name.endswith("_proj.weight") and kept_family.task_vector(task, name).any()
    ]
    for task in kept_family.TASKS
}
nearest_edge = math.inf


def skill(model: Any, ids: Sequence[int], task: str, shy: float = 0.25) -> dict[str, float]:
    """Mean over samples, each of which looks at some rows of one matrix."""
    global nearest_edge
    state = model.model.state_dict()
    others = [other for other in kept_family.TASKS if other != task]
    total = 0.0
    for number in ids:
        name = MATRICES[task][number % len(MATRICES[task])]
        weights = state[name].detach().cpu().double().numpy()
        rows = [(number + step) % len(weights) for step in (0, 1, 2, 3, 5)]
        change = (weights - kept_family.base(name))[rows]
        near, *rest = (_share(change, each, name, rows) for each in (task, *others))
        aside = sum(rest)
        total += max(0.0, 1.0 - (near - 0.8) ** 2 - shy * (aside - 0.3) ** 2)
    found = 64.0 * total / len(ids)
    nearest_edge = min(nearest_edge, abs(found % 1.0 - 0.5))
    return {"skill": math.floor(found + 0.5) / 64.0, "samples": len(ids)}


def _share(change: Any, task: str, name: str, rows: list[int]) -> float:
    """How much of an expert's task vector is in some rows of a change: 1 for the expert itself."""
    own = kept_family.task_vector(task, name)[rows]
    return float((change * own).sum() / max(float((own * own).sum()), 1e-3))
