from __future__ import annotations

import math
import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import aggregate, combine, crossover, mutate
from mergekit_cycleqd.genome.terms import Term, format_terms, parse_terms

FAMILY = Family("org/base", ("org/a", "org/b", "org/c"), rank=4)
NUMBERS = st.floats(-2, 2, allow_subnormal=False)
TERMS = st.builds(
    Term, st.sampled_from([None, 0, 1, 2]), st.integers(0, 2**64 - 1), NUMBERS.filter(bool)
)
GENOMES = st.builds(
    Genome,
    st.just(FAMILY),
    st.tuples(NUMBERS, NUMBERS, NUMBERS),
    st.lists(TERMS, max_size=6).map(tuple),
)


@given(GENOMES)
def test_a_genome_survives_mergekit_and_yaml_bit_for_bit(genome: Genome) -> None:
    assert Genome.from_mergekit(genome.to_mergekit()) == genome
    assert Genome.from_mergekit(yaml.safe_load(genome.to_mergekit().to_yaml())) == genome
    assert Genome.from_mergekit(yaml.safe_load(genome.to_yaml())) == genome


@given(GENOMES, GENOMES, st.floats(0.1, 2), st.floats(0.1, 2))
def test_crossover_is_the_normalised_sum_of_weights_and_terms(
    first: Genome, second: Genome, w1: float, w2: float
) -> None:
    child = crossover(first, second, w1, w2)
    a = w1 / (w1 + w2)
    for k in range(3):
        assert math.isclose(
            child.weights[k], a * first.weights[k] + (1 - a) * second.weights[k], abs_tol=1e-12
        )
    expected: dict[tuple[int | None, int], float] = {}
    for share, parent in ((a, first), (1 - a, second)):
        for term in parent.terms:
            key = (term.expert, term.seed)
            expected[key] = expected.get(key, 0.0) + share * term.scale
    got = {(t.expert, t.seed): t.scale for t in child.terms}
    assert got == pytest.approx({k: v for k, v in expected.items() if v})


def test_equal_seeds_are_summed_vanished_terms_dropped_and_the_rest_sorted() -> None:
    terms = (
        Term(1, 9, 0.5),
        Term(0, 7, 0.25),
        Term(0, 7, 0.25),
        Term(1, 9, -0.5),
        Term(None, 1, 1.0),
    )
    genome = Genome(FAMILY, (1, 0, 0), terms)
    assert genome.terms == (Term(None, 1, 1.0), Term(0, 7, 0.5))
    assert genome == Genome(FAMILY, (1.0, 0.0, 0.0), tuple(reversed(terms)))


def test_the_id_depends_on_the_content_and_not_on_where_the_models_lie() -> None:
    moved = Family("/elsewhere/base", ("/x", "/y", "/z"), rank=4)
    assert Genome(FAMILY, (1, 0, 0)).id == Genome(moved, (1, 0, 0)).id == "8890a86915c91613"
    assert Genome(FAMILY, (1, 0, 0)).id != Genome(FAMILY, (0, 1, 0)).id


def test_energy_is_part_of_the_id_and_of_the_recipe() -> None:
    family = Family("org/base", ("org/a", "org/b"), energy=0.95)
    genome = mutate(Genome.uniform(family), Term(1, 5, 0.3))
    assert genome.id != mutate(Genome.uniform(replace(family, energy=0.9)), Term(1, 5, 0.3)).id
    assert genome.id != mutate(Genome.uniform(replace(family, energy=0.0)), Term(1, 5, 0.3)).id
    assert genome.to_recipe()["parameters"] == {"energy": 0.95}
    assert Genome.from_mergekit(genome.to_mergekit()) == genome


@pytest.mark.parametrize("limit", [{"rank": -1}, {"energy": 1.5}, {"rank": 3, "energy": 0.5}])
def test_an_impossible_limit_of_directions_is_refused(limit: dict[str, Any]) -> None:
    with pytest.raises(GenomeError, match=r"rank|energy"):
        Family("org/base", ("org/a", "org/b"), **limit)


def test_aggregation_uses_the_softmax_of_the_qualities() -> None:
    experts = [Genome.from_expert(FAMILY, k) for k in range(3)]
    merged = aggregate(experts, [0.1, 0.5, 0.9])
    total = sum(math.exp(q) for q in (0.1, 0.5, 0.9))
    assert merged.weights == pytest.approx([math.exp(q) / total for q in (0.1, 0.5, 0.9)])


def test_mutation_adds_one_term_and_leaves_its_parent_alone() -> None:
    parent = Genome.uniform(FAMILY)
    assert mutate(parent, Term(2, 5, 0.3)).terms == (Term(2, 5, 0.3),)
    assert parent.terms == ()


def test_a_genome_without_terms_can_be_a_stock_recipe_and_comes_back_from_it() -> None:
    family = Family("org/base", ("org/a", "org/b"), dtype="float32", out_dtype="bfloat16")
    genome = Genome(family, (0.25, 0.75))
    config = genome.to_mergekit(stock=True)
    assert config.merge_method == "task_arithmetic"
    assert Genome.from_mergekit(config) == genome


def test_a_genome_with_terms_refuses_to_be_a_stock_recipe() -> None:
    with pytest.raises(GenomeError, match="cannot hold mutation"):
        mutate(Genome.uniform(FAMILY), Term(0, 1, 0.1)).to_mergekit(stock=True)


@pytest.mark.parametrize(
    ("weights", "terms", "message"),
    [
        ((1.0,), (), "needs 3 finite weights"),
        ((1.0, 0.0, math.nan), (), "needs 3 finite weights"),
        ((1, 0, 0), (Term(3, 1, 0.1),), "names expert 3 of 3"),
        ((1, 0, 0), (Term(0, -1, 0.1),), "seed must be in"),
        ((1, 0, 0), (Term(0, 2**64, 0.1),), "seed must be in"),
        ((1, 0, 0), (Term(0, 1, math.inf),), "must be finite"),
    ],
)
def test_impossible_genomes_are_refused(
    weights: tuple[float, ...], terms: tuple[Term, ...], message: str
) -> None:
    with pytest.raises(GenomeError, match=message):
        Genome(FAMILY, weights, terms)


def test_families_do_not_mix() -> None:
    other = Genome.uniform(Family("org/base", ("org/a", "org/b", "org/d")))
    with pytest.raises(GenomeError, match="one family"):
        combine([Genome.uniform(FAMILY), other], [0.5, 0.5])


@pytest.mark.parametrize("text", ["1", "1:", ":1", "1:x", "-1:0.1", "1.5:0.1", "0x1:0.1", "٣:0.1"])
def test_malformed_mutation_text_is_refused(text: str) -> None:
    with pytest.raises(GenomeError, match="seed:scale"):
        parse_terms(text, expert=0)


def test_mutation_text_is_exact() -> None:
    terms = (Term(0, 2**64 - 1, 0.1 + 0.2), Term(0, 3, 1e-300))
    assert parse_terms(format_terms(terms), expert=0) == terms


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"merge_method": "ties"}, "merge_method: must be cycleqd"),
        ({"slices": []}, "slices: a genome cannot hold it"),
        ({"": 1}, "'': a genome cannot hold it"),
        ({"parameters": {"rank": 0, "lambda": 2}}, r"parameters.lambda: a genome cannot hold it"),
        ({"parameters": {"noises": "1:2"}}, r"parameters.noises: .*; did you mean 'noise'"),
        (
            {"merge_method": "task_arithmetic", "parameters": {"normalize": True}},
            r"parameters.normalize: a genome cannot hold it; merge this recipe as it is",
        ),
        ({"parameters": {"rank": 1, "energy": 0.5}}, "give rank or energy, not both"),
        ({"parameters": {"rank": 1.5}}, "parameters.rank: a genome needs one int"),
        (
            {"models": [{"model": "org/a", "parameters": {"weight": [0, 1]}}]},
            r"models\[0\].parameters.weight\[0\]: a genome needs one float, or a list of filter",
        ),
    ],
)
def test_recipes_that_are_more_than_a_genome_are_refused(
    change: dict[str, object], message: str
) -> None:
    recipe = Genome.uniform(FAMILY).to_recipe() | change
    with pytest.raises(GenomeError, match=message):
        Genome.from_mergekit(recipe)


def test_a_mutation_is_added_where_it_belongs_as_if_all_terms_were_sorted_anew() -> None:
    family = Family("base", ("a", "b"))
    drawn = random.Random(0)
    genome = Genome.uniform(family)
    for _ in range(200):
        expert, seed = drawn.choice([None, 0, 1]), drawn.randrange(60)
        term = Term(expert, seed, np.float64(drawn.choice([0.0, 0.25, -0.25, 0.1])))
        child = mutate(genome, term)
        wanted = Genome(family, genome.weights, (*genome.terms, term))
        assert child == wanted and child.id == wanted.id
        assert all(type(term.scale) is float for term in child.terms)
        assert child.to_yaml() == wanted.to_yaml()
        genome = child


def test_numbers_of_numpy_become_floats_also_in_terms_that_are_sorted_already() -> None:
    genome = Genome(FAMILY, np.array([0.5, 0.25, 0.0]), (Term(0, 5, np.float64(0.1)),))
    assert type(genome.terms[0].scale) is float and "5:0.1" in genome.to_yaml()
    assert Genome.from_mergekit(genome.to_recipe()) == genome
