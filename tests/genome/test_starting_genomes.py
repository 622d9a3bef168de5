"""Base, experts and uniform merge as genomes, and the operators on two experts."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import (
    aggregate,
    combine,
    crossover,
    mutate,
    mutate_own,
    shift,
)
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term

FAMILY = Family("base", ("a", "b", "c"))
SINGULAR = replace(FAMILY, task_vectors=TaskVectors("tsv", 0.5))


def test_the_base_has_nothing_of_any_expert() -> None:
    assert Genome.from_base(SINGULAR) == Genome(FAMILY, (0.0, 0.0, 0.0))


def test_an_expert_is_itself_alone_of_the_family_that_it_is_asked_for() -> None:
    assert Genome.from_expert(FAMILY, 1) == Genome(FAMILY, (0.0, 1.0, 0.0))
    assert Genome.from_expert(SINGULAR, 2) == Genome(SINGULAR, (0.0, 0.0, 1.0))


def test_the_uniform_merge_is_the_mean_of_the_experts() -> None:
    assert Genome.uniform(SINGULAR) == Genome(FAMILY, (1 / 3, 1 / 3, 1 / 3))


def test_crossover_weighs_the_parents_by_their_drawn_shares() -> None:
    first = mutate(Genome.from_expert(FAMILY, 0), Term(0, 5, 0.4))
    child = crossover(first, Genome.from_expert(FAMILY, 1), 3.0, 1.0)
    assert child.weights == (0.75, 0.25, 0.0)
    assert child.terms == (Term(0, 5, pytest.approx(0.3)),)
    beyond = crossover(first, Genome.from_expert(FAMILY, 1), 3.0, -1.0)
    assert beyond.weights == (1.5, -0.5, 0.0)


def test_crossover_weights_that_cancel_are_refused() -> None:
    experts = [Genome.from_expert(FAMILY, k) for k in range(2)]
    with pytest.raises(GenomeError, match=r"must not cancel, got 1\.0 and -1\.0"):
        crossover(*experts, 1.0, -1.0)


def test_a_shift_moves_weights_and_keeps_the_rest() -> None:
    own = mutate_own(Genome(FAMILY, (0.5, 0.25, 0.0)), 9, 0.3)
    moved = shift(own, [0.25, -0.25, 1.0])
    assert moved.weights == (0.75, 0.0, 1.0) and moved.lineage == own.lineage
    noisy = mutate(Genome(FAMILY, (0.5, 0.25, 0.0)), Term(None, 3, 0.1))
    assert shift(noisy, [0.0, 0.0, 0.0]) == noisy
    with pytest.raises(ValueError, match="shorter"):
        shift(own, [1.0])


def test_mutating_along_own_directions_keeps_what_earlier_mutations_added() -> None:
    parent = Genome(FAMILY, (0.5, 0.25, 0.0))
    once = mutate_own(parent, 9, 0.3)
    twice = mutate_own(once, 10, 0.2)
    assert {part[1] for part in twice.lineage} == {1.0}
    assert {part[0].seed for part in twice.lineage} == {9, 10}
    newest = next(part[0] for part in twice.lineage if part[0].seed == 10)
    assert newest.parts == once.lineage and newest.weights == parent.weights
    with pytest.raises(GenomeError, match="cannot be mutated along its own"):
        mutate_own(mutate(parent, Term(0, 1, 0.5)), 9, 0.3)


def test_what_two_parents_share_of_a_lineage_is_summed_and_what_cancels_is_dropped() -> None:
    own = mutate_own(Genome(FAMILY, (0.5, 0.25, 0.0)), 9, 0.3)
    plain = Genome(FAMILY, (0.5, 0.25, 0.0))
    assert combine([own, own], [0.75, 0.5]).lineage[0][1] == 1.25
    assert combine([own, own], [1.0, -1.0]).lineage == ()
    assert combine([own, plain], [0.75, 0.25]).lineage[0][1] == 0.75


def test_aggregation_holds_at_any_size_of_a_score() -> None:
    experts = [Genome.from_expert(FAMILY, k) for k in range(3)]
    merged = aggregate(experts, [1000.0, 1000.0 + math.log(2), 1000.0 + math.log(5)])
    assert merged.weights == pytest.approx((1 / 8, 2 / 8, 5 / 8))
    assert aggregate(experts[:1], [0.3]).weights == (1.0, 0.0, 0.0)


def test_nothing_cannot_be_combined() -> None:
    with pytest.raises(GenomeError, match="at least one genome, got none"):
        aggregate([], [])
    with pytest.raises(GenomeError, match="one family, got 0 families"):
        combine([], [])
    with pytest.raises(ValueError, match="argument"):
        combine([Genome.uniform(FAMILY)], [0.5, 0.5])
    two = [Genome.uniform(FAMILY), Genome(SINGULAR, (1, 0, 0))]
    with pytest.raises(GenomeError, match="got 2 families"):
        combine(two, [0.5, 0.5])


def test_terms_may_name_any_expert_and_any_seed_of_64_bits() -> None:
    terms = (Term(None, 0, 0.1), Term(0, 2**64 - 1, 0.2), Term(2, 0, -0.3))
    assert Genome(FAMILY, (1, 0, 0), terms).terms == terms
    for wrong in (Term(-1, 0, 0.1), Term(3, 0, 0.1)):
        with pytest.raises(GenomeError, match="names expert"):
            Genome(FAMILY, (1, 0, 0), (wrong,))


@pytest.mark.parametrize(
    "terms",
    [
        (Term(0, 5, 0.1), Term(0, 5, 0.2)),
        (Term(0, 6, 0.1), Term(0, 5, 0.2)),
        (Term(1, 5, 0.1), Term(0, 5, 0.2)),
        (Term(0, 5, 0.1), Term(None, 5, 0.2)),
        (Term(0, 5, 0.0), Term(0, 6, 0.3)),
        (Term(None, 0, 0.0),),
        (Term(None, 0, 0.1), Term(None, 0, 0.2)),
    ],
    ids=str,
)
def test_terms_in_another_form_become_the_canonical_one(terms: tuple[Term, ...]) -> None:
    found = Genome(FAMILY, (1, 0, 0), terms).terms
    places = [(-1 if t.expert is None else t.expert, t.seed) for t in found]
    assert places == sorted(set(places)) and all(t.scale for t in found)
    assert sum(t.scale for t in found) == pytest.approx(sum(t.scale for t in terms))


def test_a_genomes_terms_are_told_apart_by_expert() -> None:
    terms = (Term(None, 1, 0.1), Term(0, 2, 0.2), Term(2, 3, 0.3))
    parameters = [
        model["parameters"] for model in Genome(FAMILY, (1, 0, 0), terms).to_recipe()["models"]
    ]
    assert parameters == [
        {"weight": 1.0, "mutation": "2:0.2"},
        {"weight": 0.0},
        {"weight": 0.0, "mutation": "3:0.3"},
    ]
