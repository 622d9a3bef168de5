"""Ids of genomes: golden values, since journals and published repos name models by them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.lineage import format_lineage
from mergekit_cycleqd.genome.operators import mutate_own
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term

FAMILY = Family("base", ("a", "b"))
SINGULAR = replace(FAMILY, task_vectors=TaskVectors("tsv", 0.5))
WEIGHTS = (0.5, 0.25)
PLAIN = Genome(FAMILY, WEIGHTS)
GOLDEN = {
    "32726c4f322c3fa9": PLAIN,
    "3897ce336c8726e7": replace(PLAIN, family=replace(FAMILY, rank=3)),
    "4b1c1c14d35682c1": replace(PLAIN, family=replace(FAMILY, energy=0.95)),
    "bf33abda09663f02": replace(
        PLAIN, family=replace(FAMILY, task_vectors=TaskVectors("tsv", 0.5))
    ),
    "4ce6690d4932695a": replace(
        PLAIN, family=replace(FAMILY, task_vectors=TaskVectors("tsv", 0.5), energy=0.95)
    ),
    "48ec3e59318cf3af": replace(PLAIN, terms=(Term(None, 7, 0.1), Term(1, 8, 0.2))),
    "a9582029ed3c7089": mutate_own(PLAIN, 9, 0.3),
    "d741e3f1be2bd2af": mutate_own(mutate_own(PLAIN, 9, 0.3), 10, 0.2),
}


@pytest.mark.parametrize("name", GOLDEN)
def test_ids_have_not_changed(name: str) -> None:
    assert GOLDEN[name].id == name


def test_where_the_models_are_stored_and_in_which_dtype_is_no_part_of_the_id() -> None:
    stored = Family("/x/base", ("/x/a", "/x/b"), dtype="float32", out_dtype="bfloat16")
    assert Genome(stored, WEIGHTS).id == PLAIN.id


def test_the_text_of_a_lineage_has_not_changed() -> None:
    twice = mutate_own(mutate_own(PLAIN, 9, 0.3), 10, 0.2)
    expected = "9:0.3@0.5,0.25 10:0.2@0.5,0.25;0*1.0 =;0*1.0;1*1.0"
    assert format_lineage(twice.lineage) == expected


def test_equal_mutations_are_one_whoever_made_them() -> None:
    (one, _), (other, _) = (
        mutate_own(PLAIN, 9, 0.3).lineage[0],
        mutate_own(PLAIN, 9, 0.3).lineage[0],
    )
    assert one is not other and one == other and hash(one) == hash(other)
    assert one != mutate_own(PLAIN, 9, 0.4).lineage[0][0]
    assert one != one.id


def test_a_long_lineage_has_a_short_name_in_messages() -> None:
    genome = PLAIN
    for seed in range(12):
        genome = mutate_own(genome, seed, 0.3)
    assert len(repr(genome)) < 5000
