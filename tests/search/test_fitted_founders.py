"""A search with founders whose weights are fitted elsewhere: asked for once they are there."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import TensorGroups
from mergekit_cycleqd.search.candidate import Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import finish, recipe, scores

FIT: dict[str, Any] = {"founders": [{"kind": "fit", "over": ["plain", "wudi"]}, 0.5]}


def fitted(family: Family) -> Genome:
    groups = TensorGroups(("attn", "mlp"), ((0.4, 0.9, 0.7), (1.1, 0.2, 0.6)))
    return Genome(family, (0.75, 0.55, 0.65), groups=groups)


def next_told(search: CycleQD, count: int) -> list[Outcome]:
    told = []
    for _ in range(count):
        candidate = search.ask()
        told.append(Outcome(candidate, scores(candidate)))
        search.tell(candidate, told[-1].scores)
    return told


def test_a_fitted_founder_is_asked_for_when_it_is_given() -> None:
    search = CycleQD(recipe(children=9, **FIT))
    next_told(search, 3)
    plain, cleaned = search.to_fit
    assert (plain.task_vectors.kind, cleaned.task_vectors.kind) == ("plain", "wudi")
    assert not search.ready
    with pytest.raises(
        SearchError, match=r"candidate 3 is a founder with fitted .* plain .*add_fitted first"
    ):
        search.ask()
    search.add_fitted(fitted(plain))
    assert search.ready and search.to_fit == (cleaned,)
    (first, second) = next_told(search, 2)
    assert first.candidate.genome == fitted(plain) and first.candidate.parents == (0, 1, 2)
    assert second.candidate.genome.weights == (0.5, 0.5, 0.5) and not search.ready


def test_children_of_a_fitted_founder_have_its_groups() -> None:
    search = CycleQD(recipe(children=60, **FIT))
    for family in search.to_fit:
        search.add_fitted(fitted(family))
    genomes = [told.candidate.genome for told in finish(search)]
    bred = [genome for genome in genomes[6:] if genome.groups]
    assert bred and all(genome.groups.filters == ("attn", "mlp") for genome in bred)
    assert len({genome.groups for genome in bred}) > 5


def test_a_search_that_was_told_a_founder_needs_no_fit_of_it() -> None:
    search = CycleQD(recipe(children=9, **FIT))
    for family in search.to_fit:
        search.add_fitted(fitted(family))
    told = next_told(search, 5)
    later = CycleQD(search.recipe, told)
    (left,) = later.to_fit
    assert left.task_vectors.kind == "wudi" and not later.ready
    later.add_fitted(fitted(left))
    assert later.ask().genome == fitted(left) and later.to_fit == ()


def test_a_run_of_fewer_children_than_founders_fits_only_those_that_it_asks_for() -> None:
    search = CycleQD(recipe(children=1, **FIT))
    assert [family.task_vectors.kind for family in search.to_fit] == ["plain"]
