"""A task whose scores are better when lower is searched as its mirror image would be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.screening import most_promising
from mergekit_cycleqd.search.worth import Worth
from tests.support.recipes import recipe_content


def recipe(lower: str = "", **evolution: Any) -> Recipe:
    content = recipe_content(evolution={"children": 40, "seed": 5, **evolution})
    content["tasks"] = [
        {
            **task,
            "range": [0, 1],
            "bins": 5,
            **({"maximize": False} if task["name"] in lower else {}),
        }
        for task in content["tasks"]
    ]
    return Recipe.model_validate(content)


def shares(genome: Genome) -> dict[str, float]:
    """Scores off the edges of all cells, on either side of them."""
    found = {}
    for task, weight in zip("abc", genome.weights, strict=True):
        found[task] = 0.05 + 0.9 * math.exp(-4 * (weight - 0.8) ** 2) + 1e-5 * weight
    return found


def searched(lower: str, **evolution: Any) -> CycleQD:
    search = CycleQD(recipe(lower, **evolution))
    while not search.done:
        candidate = search.ask()
        found = shares(candidate.genome)
        search.tell(candidate, {t: 1 - s if t in lower else s for t, s in found.items()})
    return search


@pytest.mark.parametrize("lower", ["b", "ac", "abc"])
@pytest.mark.parametrize("aggregation", ["best", "recombination"])
def test_mirrored_scores_breed_the_same_children(lower: str, aggregation: str) -> None:
    kind = {"aggregation": {"kind": aggregation}}
    plain, mirrored = searched("", **kind), searched(lower, **kind)
    for task in "abc":
        ours, theirs = mirrored.elites(task), plain.elites(task)
        assert [e.genome for e in ours] == [e.genome for e in theirs]
        held = mirrored.archives[task]
        assert held.coverage == plain.archives[task].coverage
        assert held.qd_score == pytest.approx(plain.archives[task].qd_score)
        scores = [elite.scores[task] for elite in ours]
        assert scores == sorted(scores, reverse=task not in lower)
        assert held.best == scores[0]
    assert mirrored.best_all_round().index == plain.best_all_round().index
    assert mirrored.aggregate().weights == pytest.approx(plain.aggregate().weights)


def test_the_automatic_range_is_of_the_experts_own_unit() -> None:
    content = recipe_content(evolution={"children": 3})
    content["tasks"][1]["maximize"] = False
    search = CycleQD(Recipe.model_validate(content))
    for perplexity in (20.0, 10.0, 40.0):
        search.tell(search.ask(), {"a": 0.5, "b": perplexity, "c": 0.5})
    assert search.archives["a"].ranges[0] == pytest.approx((8.5, 46.0))
    assert search.archives["b"].best == 10.0
    assert search.archives["b"].worth.of("b", 8.5) == pytest.approx(1.0)
    assert search.archives["b"].worth.of("b", 46.0) == pytest.approx(0.0)


def test_an_empty_archive_is_worse_than_all() -> None:
    assert TaskArchive("q", ["x"], [2], [(0, 1)], Worth({"q": (1.0, 2.0)})).best == math.inf


def test_a_worth_of_arrays_is_that_of_each_number() -> None:
    worth = Worth({"q": (10.0, 20.0)})
    assert np.array_equal(worth.of("q", np.array([10.0, 15.0, 30.0])), [1.0, 0.5, -1.0])
    assert worth.of("x", 0.3) == 0.3
    assert worth.highest("q", (12.0, 18.0)) == 0.8 and worth.highest("x", (0.1, 0.2)) == 0.2


def test_screening_takes_the_child_that_is_expected_to_be_lower() -> None:
    family = recipe().family
    worth = Worth({"a": (0.0, 1.0)})
    archives = {
        "a": TaskArchive("a", ["b"], [1], [(0.0, 1.0)], worth),
        "b": TaskArchive("b", ["a"], [1], [(0.0, 1.0)], worth),
    }
    for index, weight in enumerate(np.linspace(0, 1, 9)):
        genome = Genome(family, (float(weight), 0.5, 0.5))
        for archive in archives.values():
            archive.add(Elite(index, genome, {"a": 0.9 - 0.8 * weight, "b": 0.5}, ()))
    proposals = [Genome(family, (weight, 0.5, 0.5)) for weight in (0.3, 1.1, 0.1)]
    assert most_promising(proposals, archives) == 1
    assert most_promising(proposals, archives, all_round=True) == 1
