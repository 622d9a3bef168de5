"""Which children a seed makes: golden, so that a run goes on with those that it began with."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.making import Making
from mergekit_cycleqd.search import breeding, screening
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import TASKS, finish, recipe

VARIANTS: dict[str, dict[str, Any]] = {
    "paper": {},
    "released": {"preset": "released"},
    "child": {"mutation": {"basis": "child"}},
    "cycle": {"cycle": 2, "sampling": {"low": 0.0, "high": 1.0}},
    "line": {"crossover": {"kind": "iso_line"}, "mutation": {"kind": "none"}},
}
GOLDEN: dict[str, Any] = {
    "paper": (
        (23, 19),
        (0.1989279774058776, 0.44124461867310233, 0.35982740392102),
        [1047286111, 1394360427],
    ),
    "released": (
        (14, 11),
        (0.18813658198757235, 0.34293043067114304, 0.46893298734128464),
        [100316688, 841207457],
    ),
    "child": ((22, 8), (0.27131159001467486, 0.44464060321105037, 0.28404780677427466), []),
    "cycle": ((14, 15), (0.0, 0.32326650987623384, 0.6767334901237662), [841207457, 1394360427]),
    "line": ((13, 1), (0.13089246876500904, 0.1908864846432083, 0.5872497909530003), []),
}


@pytest.mark.parametrize("name", VARIANTS)
def test_the_children_of_a_seed_have_not_changed(name: str) -> None:
    told = finish(CycleQD(recipe(children=24, seed=5, **VARIANTS[name])))
    last = told[-1].candidate
    parents, weights, seeds = GOLDEN[name]
    assert last.parents == parents
    assert last.genome.weights == pytest.approx(weights, rel=1e-9)
    assert [term.seed for term in last.genome.terms][:2] == seeds


def test_one_of_twenty_screened_children_is_chosen_for_its_mean(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked: list[bool] = []

    def chosen(proposals: list[Genome], *_: Any, all_round: bool, **__: Any) -> int:
        asked.append(all_round)
        assert len(proposals) == 3
        return 2

    monkeypatch.setattr(breeding, "most_promising", chosen)
    finish(CycleQD(recipe(children=42, screen=3)))
    assert [child for child, all_round in enumerate(asked) if all_round] == [19, 39]
    assert len(asked) == 42


def test_the_chosen_proposal_becomes_the_child(monkeypatch: pytest.MonkeyPatch) -> None:
    proposed: list[list[Genome]] = []

    def chosen(proposals: list[Genome], *_: Any, all_round: bool, **__: Any) -> int:
        proposed.append(proposals)
        return len(proposed) % 3

    monkeypatch.setattr(breeding, "most_promising", chosen)
    told = finish(CycleQD(recipe(children=6, screen=3)))
    for number, item in enumerate(told[3:], 1):
        assert item.candidate.genome == proposed[number - 1][number % 3]


def test_without_screening_nothing_is_predicted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(screening, "_predict_scores", None)
    assert len(finish(CycleQD(recipe(children=5)))) == 8


def test_crossover_weights_are_drawn_again_where_they_cancel() -> None:
    class Planned:
        """Gives a pair that cancels, then one that does not."""

        def __init__(self) -> None:
            self.pairs = [(0.5, -0.5), (3.0, 1.0)]

        def normal(self, mean: float, std: float, size: int) -> tuple[float, float]:
            assert (mean, std, size) == (1.0, 0.03, 2)
            return self.pairs.pop(0)

    run = recipe()
    one, two = (Genome.from_expert(run.family, k) for k in range(2))
    mix = breeding._crossover(run.evolution.crossover, Planned())  # type: ignore[arg-type]
    child = Making(mix).make((one, two))
    assert child.weights == (0.75, 0.25, 0.0)


def test_a_childs_mutation_is_of_the_quality_tasks_expert() -> None:
    told = finish(CycleQD(recipe(children=9, cycle=3)))
    experts = {TASKS.index(item.candidate.task) for item in told[3:6]}
    assert experts == {0}
    for item in told[3:]:
        own = {t.expert for t in item.candidate.genome.terms}
        assert TASKS.index(item.candidate.task) in own


def test_seeds_of_a_pool_are_those_of_the_runs_seed_and_terms_saturate() -> None:
    told = finish(CycleQD(recipe(children=300, mutation={"seeds": 8})))
    pool = breeding.seed_pool(0, 8)
    assert pool == breeding.seed_pool(0, 64)[:8] != breeding.seed_pool(1, 8)
    seeds = {term.seed for item in told for term in item.candidate.genome.terms}
    assert seeds == set(pool)
    most = max(len(item.candidate.genome.terms) for item in told)
    assert 3 * 8 >= most > 2 * 8
    free = finish(CycleQD(recipe(children=300)))
    assert max(len(item.candidate.genome.terms) for item in free) > 3 * 8


def test_a_pool_changes_nothing_but_the_seeds_of_mutation() -> None:
    one, other = CycleQD(recipe(children=3)), CycleQD(recipe(children=3, mutation={"seeds": 8}))
    alike = [search.ask() for search in (one, other) for _ in range(3)]
    for search, candidates in ((one, alike[:3]), (other, alike[3:])):
        for candidate in candidates:
            search.tell(candidate, dict.fromkeys(TASKS, 0.5))
    first, second = one.ask(), other.ask()
    assert first.parents == second.parents and first.genome.weights == second.genome.weights
    assert first.genome.terms[0].seed != second.genome.terms[0].seed


def test_a_recipe_without_a_pool_is_written_as_before() -> None:
    assert "seeds" not in recipe().written()["evolution"]["mutation"]
    assert recipe(mutation={"seeds": 8}).written()["evolution"]["mutation"]["seeds"] == 8
    for preset in ("best", "released"):
        assert "seeds" not in recipe(preset=preset).written()["evolution"]["mutation"]


def test_a_pool_is_refused_where_no_terms_are_summed() -> None:
    with pytest.raises(ValidationError, match="seeds goes with basis: expert"):
        recipe(mutation={"basis": "child", "seeds": 8})
