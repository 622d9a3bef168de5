"""Of which elites the one model is made, where two kinds of models share the archives."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.recipe.aggregation import BestOfEach, Recombination
from mergekit_cycleqd.search.aggregation import (
    aggregate_model,
    aggregated_elites,
    all_rounders,
    best_first,
)
from mergekit_cycleqd.search.archive import Elite, TaskArchive

PLAIN = Family("base", ("a", "b"))
SINGULAR = replace(PLAIN, task_vectors=TaskVectors("tsv", 0.5))


def filled(*found: tuple[Family, float, float]) -> dict[str, TaskArchive]:
    """Archives of ten cells; candidate i has weights (i, 0)."""
    archives = {
        "one": TaskArchive("one", ["two"], [10], [(0.0, 1.0)]),
        "two": TaskArchive("two", ["one"], [10], [(0.0, 1.0)]),
    }
    for index, (family, one, two) in enumerate(found):
        elite = Elite(index, Genome(family, (float(index), 0.0)), {"one": one, "two": two}, ())
        for archive in archives.values():
            archive.add(elite)
    return archives


MIXED = [
    (PLAIN, 0.95, 0.05),  # 0: the best at one
    (SINGULAR, 0.75, 0.85),  # 1: the best all-rounder
    (PLAIN, 0.65, 0.75),  # 2: the second, of the other family
    (SINGULAR, 0.85, 0.35),  # 3
    (PLAIN, 0.05, 0.95),  # 4: the best at two
]


def test_the_family_is_that_of_the_best_all_round_elite_and_not_of_the_second() -> None:
    archives = filled(*MIXED)
    assert [elite.index for elite in all_rounders(archives)][:2] == [1, 2]
    many = Recombination(kind="recombination", elites=4)
    assert [elite.index for elite in aggregated_elites(many, archives)] == [1, 3]
    assert aggregate_model(many, archives).family == SINGULAR
    assert [elite.index for elite in aggregated_elites(BestOfEach(), archives)] == [3, 1]
    assert aggregate_model(BestOfEach(), archives).family == SINGULAR


def test_no_more_elites_are_recombined_than_asked_for() -> None:
    archives = filled(*((PLAIN, 0.05 + i / 10, 0.95 - i / 12) for i in range(8)))
    for count in (2, 3):
        how = Recombination(kind="recombination", elites=count)
        assert aggregated_elites(how, archives) == all_rounders(archives)[:count]


def test_the_best_of_each_are_weighted_by_their_score_at_their_own_task() -> None:
    archives = filled((PLAIN, 0.9, 0.1), (PLAIN, 0.1, 0.3))
    total = math.exp(0.9) + math.exp(0.3)
    assert aggregate_model(BestOfEach(), archives).weights[0] == pytest.approx(
        math.exp(0.3) / total
    )


def test_recombined_elites_are_weighted_by_their_rank() -> None:
    archives = filled((PLAIN, 0.1, 0.95), (PLAIN, 0.9, 0.9), (PLAIN, 0.95, 0.0))
    how = Recombination(kind="recombination", elites=3)
    shares = [math.log(3.5), math.log(3.5) - math.log(2), math.log(3.5) - math.log(3)]
    expected = (shares[0] * 1 + shares[1] * 0 + shares[2] * 2) / sum(shares)
    assert [elite.index for elite in aggregated_elites(how, archives)] == [1, 0, 2]
    assert aggregate_model(how, archives).weights[0] == pytest.approx(expected)


def test_elites_are_ranked_by_task_then_by_all_tasks_then_by_age() -> None:
    archives = filled((PLAIN, 0.5, 0.2), (PLAIN, 0.5, 0.4), (PLAIN, 0.7, 0.05), (PLAIN, 0.4, 0.95))
    assert [elite.index for elite in best_first(archives["one"])] == [2, 1, 0, 3]
    tied = filled((PLAIN, 0.25, 0.75), (PLAIN, 0.75, 0.25))
    assert [elite.index for elite in all_rounders(tied)] == [0, 1]


def test_empty_archives_have_no_elites() -> None:
    for how in (BestOfEach(), Recombination(kind="recombination")):
        with pytest.raises(SearchError, match="no elites: the archives are empty"):
            aggregated_elites(how, filled())
        with pytest.raises(SearchError, match="no elites: the archives are empty"):
            aggregate_model(how, filled())
