"""Batches of children: what those under way may reach counts as reached."""

from __future__ import annotations

import random
from itertools import combinations
from typing import Any

import numpy as np
import pytest

from mergekit_cycleqd.recipe.archive import KINDS
from mergekit_cycleqd.search.candidate import Candidate, Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.measures import position
from mergekit_cycleqd.search.under_way import with_taken
from tests.support.searches import history, recipe, scores

BATCH: dict[str, Any] = {"preset": "best", "screen": 32, "lag": 12, "children": 40}


def test_a_cell_that_a_child_under_way_may_take_counts_as_held() -> None:
    held = np.array([[-np.inf, 0.5, 0.2], [0.1, 0.5, 0.2]])
    places = np.array([[[0, 1], [2, 2], [3, 0]], [[0, 1], [2, 2], [3, 0]]], dtype=np.int32)
    pending = np.array([[[0, 1], [3, 0]], [[9, 9], [2, 2]]], dtype=np.int32)
    hoped = np.array([[0.4, 0.1], [0.9, 0.7]])
    found = with_taken(held, places, pending, hoped)
    assert found.tolist() == [[0.4, 0.5, 0.2], [0.1, 0.7, 0.2]]


def _in_batches(search: CycleQD, seed: int = 0) -> list[Candidate]:
    """Ask for all that can be asked for, then tell in any order."""
    order, asked, waiting = random.Random(seed), list[Candidate](), list[Candidate]()
    while not search.done:
        while search.ready:
            waiting.append(search.ask())
        candidate = waiting.pop(order.randrange(len(waiting)))
        asked.append(candidate)
        search.tell(candidate, scores(candidate))
    return sorted(asked, key=lambda candidate: candidate.index)


def _apart(candidates: list[Candidate]) -> float:
    """Mean distance of the last children that were bred from the same archives."""
    places = [np.array(position(candidate.genome)) for candidate in candidates[-12:]]
    return float(np.mean([np.linalg.norm(a - b) for a, b in combinations(places, 2)]))


def test_children_of_a_batch_lie_further_apart() -> None:
    found = {
        apart: [
            _apart(_in_batches(CycleQD(recipe(**BATCH, screen_apart=apart, seed=seed))))
            for seed in range(4)
        ]
        for apart in (True, False)
    }
    assert np.mean(found[True]) > 1.1 * np.mean(found[False])


@pytest.mark.parametrize("kind", KINDS)
def test_the_order_of_telling_changes_nothing(kind: str) -> None:
    run = recipe(**BATCH, archive={"kind": kind})
    one, other = CycleQD(run), CycleQD(run)
    assert _in_batches(one, 1) == _in_batches(other, 2)
    assert history(one) == history(other)


def test_a_search_goes_on_within_a_batch() -> None:
    run = recipe(**BATCH)
    whole = CycleQD(run)
    asked = _in_batches(whole)
    kept = [c for c in asked if c.index not in (25, 28, 31)][:31]
    again = CycleQD(run, [Outcome(c, scores(c)) for c in kept])
    assert _in_batches(again) == [c for c in asked if c.index not in {k.index for k in kept}]
    assert history(again) == history(whole)


def test_one_at_a_time_is_as_before() -> None:
    settings = {**BATCH, "lag": 1}
    apart = _in_batches(CycleQD(recipe(**settings)))
    assert apart == _in_batches(CycleQD(recipe(**settings, screen_apart=False)))
