"""Weights by groups of tensors: as mergekit reads filters, linear, and the same once read back."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from mergekit.config import evaluate_setting

from mergekit_cycleqd.errors import GenomeError, JournalError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import NO_GROUPS, TensorGroups
from mergekit_cycleqd.genome.operators import aggregate, crossover, mutate, mutate_own, shift
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.screening import position

FAMILY = Family("base", ("a", "b"))
FILTERS = ("layers.1.mlp.up_proj", "mlp", "layers.1.")
NAMES = (
    "model.layers.1.mlp.up_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "model.layers.11.self_attn.q_proj.weight",
    "model.norm.weight",
)
ONE = Genome(
    FAMILY, (0.5, 0.25), groups=TensorGroups(FILTERS, ((0.1, 0.2), (0.3, 0.4), (-0.5, 0.6)))
)
OTHER = Genome(
    FAMILY, (0.75, 1.0), groups=TensorGroups(FILTERS, ((0.7, -0.1), (0.9, 0.0), (0.2, 0.3)))
)


def test_the_first_filter_that_fits_gives_the_weight_as_in_mergekit() -> None:
    assert [ONE.weights_of(name) for name in NAMES] == [
        (0.1, 0.2),
        (0.3, 0.4),
        (-0.5, 0.6),
        (0.5, 0.25),
        (0.5, 0.25),
    ]
    config: Any = ONE.to_mergekit()
    for name in NAMES:
        found = [
            evaluate_setting(name, model.parameters["weight"], validate=float)
            for model in config.models
        ]
        assert tuple(found) == ONE.weights_of(name)


def test_crossover_and_aggregation_are_linear_in_every_tensor() -> None:
    plain = Genome(FAMILY, (1.0, -1.0), (Term(0, 7, 0.3),))
    for genomes in ((ONE, OTHER), (ONE, plain), (plain, ONE)):
        child = crossover(*genomes, 1.0, 3.0)
        for name in NAMES:
            first, second = (genome.weights_of(name) for genome in genomes)
            expected = [0.25 * x + 0.75 * y for x, y in zip(first, second, strict=True)]
            assert child.weights_of(name) == pytest.approx(expected, rel=1e-15)
    same = aggregate([ONE, ONE, ONE], [0.1, 0.5, 0.9])
    assert same.groups.weights[1] == pytest.approx((0.3, 0.4))
    moved = shift(ONE, (1.0, 2.0))
    assert moved.weights_of(NAMES[0]) == (1.1, 2.2) and moved.weights == (1.5, 2.25)
    mutated = mutate(ONE, Term(1, 5, 0.2))
    assert mutated.groups == ONE.groups
    assert position(mutated) == pytest.approx([(0.1 + 0.3 - 0.5) / 3, (0.2 + 0.4 + 0.6) / 3 + 0.1])


def test_genomes_of_other_groups_and_lineages_are_refused() -> None:
    fewer = replace(ONE, groups=TensorGroups(FILTERS[:1], ((0.1, 0.2),)))
    with pytest.raises(GenomeError, match="same groups of tensors, got such with 3 and 1 filters"):
        crossover(ONE, fewer, 1.0, 1.0)
    with pytest.raises(GenomeError, match="by groups of tensors has no lineage"):
        mutate_own(ONE, 7, 0.3)


def test_a_genome_without_groups_keeps_its_form_and_id() -> None:
    plain = Genome(FAMILY, (0.5, 0.25))
    assert plain.id == "32726c4f322c3fa9" and plain.groups == NO_GROUPS
    assert plain.to_recipe()["models"][0]["parameters"] == {"weight": 0.5}
    assert "groups" not in Record(plain, "search", {"x": 0.5}).to_json()


def test_with_groups_the_recipe_and_the_journal_are_read_back() -> None:
    genome = mutate(ONE, Term(1, 5, 0.2))
    setting = genome.to_recipe()["models"][1]["parameters"]["weight"]
    assert setting == [
        {"filter": "layers.1.mlp.up_proj", "value": 0.2},
        {"filter": "mlp", "value": 0.4},
        {"filter": "layers.1.", "value": 0.6},
        {"value": 0.25},
    ]
    assert Genome.from_mergekit(genome.to_recipe()) == genome
    assert Genome.from_mergekit(genome.to_mergekit()) == genome
    stock = ONE.to_mergekit(stock=True)
    assert stock.merge_method == "task_arithmetic" and Genome.from_mergekit(stock) == ONE
    line = json.loads(json.dumps(Record(genome, "search", {"x": 0.5}).to_json()))
    assert Record.from_json(line, FAMILY).genome == genome
    assert line["groups"][1] == ["mlp", [0.3, 0.4]]
    assert ONE.id == "3a2d5d148f752f86"  # published recipes keep it
    renamed = replace(ONE, groups=TensorGroups(("x", *FILTERS[1:]), ONE.groups.weights))
    assert len({ONE.id, OTHER.id, renamed.id, replace(ONE, groups=NO_GROUPS).id}) == 4


def test_one_model_may_have_a_number_where_others_have_filters() -> None:
    recipe = ONE.to_recipe()
    recipe["models"][0]["parameters"]["weight"] = 0.7
    recipe["models"][1]["parameters"]["weight"][-1]["filter"] = "*"
    found = Genome.from_mergekit(recipe)
    assert found.weights == (0.7, 0.25)
    assert found.groups.weights == ((0.7, 0.2), (0.7, 0.4), (0.7, 0.6))


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ([0.1, 0.2], r"weight\[0\]: a genome needs one float, or a list of filter and value"),
        ([], r"weight: a genome needs one float, got \[\]"),
        ([{"filter": "mlp", "value": 0.1}], "needs a last entry without a filter"),
        ([{"value": 0.1}, {"filter": "mlp", "value": 0.1}], r"weight\[0\]: only the last entry"),
        ([{"filter": "mlp", "value": [0, 1]}, {"value": 0}], r"weight\[0\]\.value: a genome needs"),
        ([{"filter": "mlp", "value": float("nan")}, {"value": 0}], r"\[0\]\.value: .* got nan"),
        ([{"filter": "mlp"}, {"value": 0}], r"weight\[0\]\.value: a genome needs one float"),
        ([{"filters": "mlp", "value": 0.1}, {"value": 0}], r"weight\[0\]: a genome needs"),
        ([{"filter": "", "value": 0.1}, {"value": 0}], r"weight\[0\]\.filter: must be another"),
        (
            [{"filter": "up", "value": 0.1}, {"filter": "up", "value": 0.1}, {"value": 0}],
            r"weight\[1\]\.filter: must be another part of names, got 'up'",
        ),
        (
            [{"filter": "up", "value": 0.1}, {"value": 0}],
            r"models\[1\]\.parameters\.weight: needs the same filters in the same order as models",
        ),
    ],
)
def test_weights_that_a_genome_cannot_hold_are_refused(setting: Any, message: str) -> None:
    recipe = ONE.to_recipe()
    recipe["models"][1]["parameters"]["weight"] = setting
    with pytest.raises(GenomeError, match=message):
        Genome.from_mergekit(recipe)


@pytest.mark.parametrize(
    ("groups", "message"),
    [
        (TensorGroups(("mlp",), ((0.1,),)), "needs 2 finite weights, one per expert, of filter"),
        (TensorGroups(("mlp",), ((0.1, float("inf")),)), "needs 2 finite weights"),
        (TensorGroups(("mlp", "mlp"), ((0.1, 0.2), (0.1, 0.2))), "'mlp' stands twice"),
        (TensorGroups(("mlp", "up"), ((0.1, 0.2),)), "needs weights of 2 groups of tensors, got 1"),
        (TensorGroups(("*",), ((0.1, 0.2),)), "must be a part of tensors' names"),
    ],
)
def test_groups_that_mean_nothing_are_refused(groups: TensorGroups, message: str) -> None:
    with pytest.raises(GenomeError, match=message):
        Genome(FAMILY, (0.5, 0.25), groups=groups)


@pytest.mark.parametrize(
    "groups", [{}, [["mlp"]], [["mlp", 0.5]], [[1, [0.5, 0.5]]], [["m", [None]]]]
)
def test_a_damaged_line_of_a_journal_is_refused(groups: Any) -> None:
    line = Record(ONE, "search", {"x": 0.5}).to_json() | {"groups": groups}
    with pytest.raises(JournalError, match="its groups are no filters with weights"):
        Record.from_json(json.loads(json.dumps(line)), FAMILY)
