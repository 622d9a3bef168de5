"""The recipe of a model: what is written, what is read, and what is refused with its place."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from mergekit.config import MergeConfiguration

from mergekit_cycleqd.errors import GenomeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.lineage import parse_lineage
from mergekit_cycleqd.genome.operators import mutate, mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term, parse_terms
from mergekit_cycleqd.genome.vocabulary import BaseVocabulary

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
        ({"tokenizer": {}}, "tokenizer.source: a genome needs base, got 'union'; merge this"),
        ({"tokenizer": {"source": "org/a"}}, "tokenizer.source: a genome needs base, got 'org/a'"),
        ({"tokenizer": "base"}, "tokenizer: must be a mapping, got 'base'"),
        ({"tokenizer": {"sourse": "base"}}, "tokenizer.sourse: a genome .* mean 'source'"),
        (
            {"tokenizer": {"source": "base", "tokens": {}}},
            "tokenizer.tokens: a genome cannot hold it; merge this recipe as it is",
        ),
        (
            {"tokenizer": {"source": "base", "pad_to_multiple_of": True}},
            "tokenizer.pad_to_multiple_of: a genome needs one int, got True",
        ),
        (
            {"tokenizer": {"source": "base", "pad_to_multiple_of": 0}},
            "tokenizer.pad_to_multiple_of: must be 1 or more, got 0",
        ),
        ({"tokenizer_source": "union"}, "tokenizer_source: a genome needs base, got 'union'"),
        (
            {"tokenizer_source": "base", "tokenizer": {"source": "base"}},
            "tokenizer_source: needs a recipe without tokenizer, got both",
        ),
    ],
    ids=str,
)
def test_what_a_genome_cannot_hold_is_refused_with_its_place(
    change: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenomeError, match=message):
        Genome.from_mergekit(Genome(FAMILY, (0.5, 0.25)).to_recipe() | change)


@pytest.mark.parametrize("padding", [None, 64])
def test_the_vocabulary_of_the_base_is_mergekits_key(padding: int | None) -> None:
    plain = Genome(FAMILY, (0.5, 0.25))
    genome = Genome(replace(FAMILY, tokenizer=BaseVocabulary(padding)), (0.5, 0.25))
    section = {"source": "base"} | ({"pad_to_multiple_of": padding} if padding else {})
    assert genome.to_recipe() == plain.to_recipe() | {"tokenizer": section}
    assert genome.id == plain.id
    config = genome.to_mergekit()
    assert config.tokenizer is not None and config.tokenizer.pad_to_multiple_of == padding
    assert Genome.from_mergekit(config) == genome == Genome.from_mergekit(genome.to_recipe())


def test_mergekits_older_key_of_the_vocabulary_is_read_too() -> None:
    recipe = Genome(FAMILY, (0.5, 0.25)).to_recipe() | {"tokenizer_source": "base"}
    for content in (recipe, MergeConfiguration.model_validate(recipe)):
        assert Genome.from_mergekit(content).family.tokenizer == BaseVocabulary()


@pytest.mark.parametrize(
    ("padding", "tokens", "rows"), [(None, 63, 63), (8, 63, 64), (8, 64, 64), (64, 1, 64)]
)
def test_rows_are_counted_as_by_mergekit(padding: int | None, tokens: int, rows: int) -> None:
    assert BaseVocabulary(padding).rows(tokens) == rows


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
