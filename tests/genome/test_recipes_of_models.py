"""The recipe of a model: what is written, what is read, and what is refused with its place."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.lineage import parse_lineage
from mergekit_cycleqd.genome.operators import mutate, mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term, parse_terms

FAMILY = Family("org/base", ("org/a", "org/b"))


def test_a_recipe_holds_what_the_genome_says_and_no_more() -> None:
    family = Family(
        "org/base",
        ("org/a", "org/b"),
        3,
        task_vectors=TaskVectors("tsv", 0.5),
        dtype="float32",
        out_dtype="bfloat16",
    )
    genome = mutate(mutate(Genome(family, (0.5, 0.25)), Term(None, 7, 0.1)), Term(1, 8, 0.2))
    assert genome.to_recipe() == {
        "merge_method": "cycleqd",
        "base_model": "org/base",
        "models": [
            {"model": "org/a", "parameters": {"weight": 0.5}},
            {"model": "org/b", "parameters": {"weight": 0.25, "mutation": "8:0.2"}},
        ],
        "parameters": {"rank": 3, "tsv": 0.5, "noise": "7:0.1"},
        "dtype": "float32",
        "out_dtype": "bfloat16",
    }
    assert Genome.from_mergekit(genome.to_recipe()) == genome


def test_a_stock_recipe_is_of_mergekits_own_method_and_has_no_settings_of_ours() -> None:
    recipe = Genome(FAMILY, (0.5, 0.25)).to_recipe(stock=True)
    assert recipe["merge_method"] == "task_arithmetic"
    assert set(recipe) == {"merge_method", "base_model", "models"}


def test_a_stock_recipe_cannot_hold_any_kind_of_mutation() -> None:
    plain = Genome(FAMILY, (0.5, 0.25))
    twice = mutate(mutate(plain, Term(0, 1, 0.1)), Term(None, 2, 0.1))
    for genome, count in ((twice, 2), (mutate_own(plain, 9, 0.3), 1)):
        with pytest.raises(
            GenomeError, match=f"cannot hold mutation; this genome has {count} terms"
        ):
            genome.to_recipe(stock=True)


@pytest.mark.parametrize("model", [[], 1, "x"])
def test_a_model_that_is_no_mapping_is_refused(model: object) -> None:
    recipe = {"merge_method": "cycleqd", "base_model": "org/base", "models": [model]}
    with pytest.raises(GenomeError, match=r"models\[0\]: must be a mapping"):
        Genome.from_mergekit(recipe)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"models": 5}, "models: must be a list, got 5"),
        ({"models": {}}, "at least one expert"),
        ({"models": None}, "at least one expert"),
        ({"parameters": []}, "parameters: must be a mapping"),
        ({"parameters": {"rank": True}}, "parameters.rank: a genome needs one int, got True"),
        ({"parameters": {"energy": "x"}}, "parameters.energy: a genome needs one float"),
        ({"parameters": {"energy": False}}, "parameters.energy: a genome needs one float"),
        ({"parameters": {"tsv": 10**400}}, "parameters.tsv: a genome needs one float"),
        ({"parameters": {"tsv": float("inf")}}, "parameters.tsv: a genome needs one float"),
        ({"parameters": {"noise": 1}}, "parameters.noise: a genome needs one str"),
        ({"parameters": {"lineage": 1}}, "parameters.lineage: a genome needs one str"),
        ({"parameters": {"noise": "1"}}, "words seed:scale"),
        ({"dtype": 16}, "dtype: a genome needs one str, got 16"),
        ({"out_dtype": []}, "out_dtype: a genome needs one str"),
        ({"tokenizer": {}}, "tokenizer: a genome cannot hold it"),
    ],
    ids=str,
)
def test_what_a_genome_cannot_hold_is_refused_with_its_place(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenomeError, match=message):
        Genome.from_mergekit(Genome(FAMILY, (0.5, 0.25)).to_recipe() | change)


def model(**parameters: Any) -> dict[str, Any]:
    return {"models": [{"model": "org/a", "parameters": parameters}]}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (model(), r"models\[0\]\.parameters\.weight: a genome needs one float, got None"),
        (model(weight=1, mutation=3), r"models\[0\]\.parameters\.mutation: a genome needs one str"),
        (model(weight=1, density=0.5), r"models\[0\]\.parameters\.density: a genome cannot"),
    ],
    ids=str,
)
def test_a_parameter_of_a_model_is_refused_with_its_place(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenomeError, match=message):
        Genome.from_mergekit(Genome(FAMILY, (0.5, 0.25)).to_recipe() | change)


def test_whole_numbers_are_weights_too() -> None:
    recipe = Genome(FAMILY, (1.0, 0.0)).to_recipe()
    recipe["models"][0]["parameters"]["weight"] = 1
    assert Genome.from_mergekit(recipe) == Genome(FAMILY, (1.0, 0.0))


def test_seeds_have_64_bits() -> None:
    assert parse_terms(f"{2**64 - 1}:0.5", expert=1) == (Term(1, 2**64 - 1, 0.5),)
    for text in (f"{2**64}:0.5", "1:inf", "1:nan"):
        with pytest.raises(GenomeError, match="seed:scale"):
            parse_terms(text, expert=1)
    with pytest.raises(GenomeError, match=r"got '(x{40})'"):
        parse_terms("x" * 50, expert=1)


@pytest.mark.parametrize(
    ("text", "word", "number"),
    [
        ("9:0.3@0.5,0.25", "", 0),
        ("9:0.3@0.5 =;0*1.0", "9:0.3@0.5", 1),
        ("9:0.3@0.5,0.25,1.0 =;0*1.0", "9:0.3@0.5,0.25,1.0", 1),
        ("9:0.3@0.5,0.25 =;1*1.0", "=;1*1.0", 2),
        ("9:0.3@0.5,0.25 x;0*1.0", "x;0*1.0", 2),
        ("9:0.3@0.5,0.25 =;0*inf", "=;0*inf", 2),
        ("9:nan@0.5,0.25 =;0*1.0", "9:nan@0.5,0.25", 1),
        ("-9:0.3@0.5,0.25 =;0*1.0", "-9:0.3@0.5,0.25", 1),
        ("9:0.3@0.5,0.25 =;-1*1.0", "=;-1*1.0", 2),
        (f"{2**64}:0.3@0.5,0.25 =;0*1.0", f"{2**64}:0.3@0.5,0.25", 1),
        ("9:0.3 =;0*1.0", "9:0.3", 1),
    ],
)
def test_a_malformed_lineage_is_refused_with_its_word(text: str, word: str, number: int) -> None:
    if not word:
        number, word = 1, text
    with pytest.raises(GenomeError) as error:
        parse_lineage(text, 2)
    assert str(error.value).endswith(f"with 2 weights, got {word!r} as word {number}")


def test_of_a_long_word_of_a_lineage_sixty_characters_are_shown() -> None:
    with pytest.raises(GenomeError, match=rf"got '{'x' * 60}' as word 1"):
        parse_lineage("x" * 61, 2)


def test_no_lineage_is_an_empty_text() -> None:
    assert parse_lineage("", 2) == ()
