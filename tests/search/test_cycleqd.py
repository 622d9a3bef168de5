"""The search with scores computed from the genome alone: no model, milliseconds."""

from __future__ import annotations

import math
import random
import statistics
from typing import Any

import pytest

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search.archive import automatic_range
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import TASKS, finish, history, recipe, scores


def finished(recipe: Recipe) -> CycleQD:
    search = CycleQD(recipe)
    finish(search)
    return search


def test_experts_come_first_and_the_quality_task_then_rotates() -> None:
    search = CycleQD(recipe(cycle=2))
    seen = []
    for _ in range(11):
        candidate = search.ask()
        seen.append((candidate.index, candidate.task, candidate.parents != ()))
        search.tell(candidate, scores(candidate))
    assert seen[:3] == [(0, "a", False), (1, "b", False), (2, "c", False)]
    assert [task for _, task, _ in seen[3:]] == ["a", "a", "b", "b", "c", "c", "a", "a"]
    assert all(bred for _, _, bred in seen[3:])


def test_the_first_five_lines_of_the_readme_work() -> None:
    search = CycleQD(recipe())
    candidate = search.ask()
    search.tell(candidate, {"a": 0.41, "b": 0.37, "c": 0.29})
    assert "merge_method: cycleqd" in search.elites("a")[0].genome.to_mergekit().to_yaml()


def test_children_are_bred_by_crossover_and_mutation_of_the_quality_tasks_expert() -> None:
    candidates = [told.candidate for told in finish(CycleQD(recipe(children=60)))]
    for child in candidates[3:]:
        first, second = (candidates[parent] for parent in child.parents)
        assert first is not second
        assert sum(child.genome.weights) == pytest.approx(1.0)
        inherited = {term.seed for parent in (first, second) for term in parent.genome.terms}
        (new,) = [term for term in child.genome.terms if term.seed not in inherited]
        assert new.expert == TASKS.index(child.task)
        assert new.scale == 0.3


def test_the_search_finds_better_models_than_it_was_given() -> None:
    search = CycleQD(recipe())
    experts = [told.scores for told in finish(search)[:3] if told.scores]
    for task in TASKS:
        assert search.elites(task)[0].scores[task] >= max(expert[task] for expert in experts)
    best = sum(search.best_all_round().scores.values())
    assert best > max(sum(expert.values()) for expert in experts) + 0.1


@pytest.mark.parametrize("lag", [1, 4, 9])
def test_the_order_in_which_results_arrive_changes_nothing(lag: int) -> None:
    in_order = finished(recipe(lag=lag))
    rng = random.Random(lag)
    for _ in range(3):
        search = CycleQD(recipe(lag=lag))
        waiting: list[Candidate] = []
        while not search.done:
            while search.ready and len(waiting) < lag:
                waiting.append(search.ask())
            candidate = waiting.pop(rng.randrange(len(waiting)))
            search.tell(candidate, scores(candidate))
        assert history(search) == history(in_order)


def test_a_lag_as_large_as_the_workers_keeps_all_of_them_busy() -> None:
    search = CycleQD(recipe(lag=4))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    waiting = [search.ask() for _ in range(4)]
    assert not search.ready
    search.tell(waiting[2], scores(waiting[2]))
    assert not search.ready  # child 7 is bred after child 3, which is still out
    search.tell(waiting[0], scores(waiting[0]))
    assert search.ready


def test_another_lag_is_another_search() -> None:
    assert history(finished(recipe(lag=4))) != history(finished(recipe(lag=1)))


@pytest.mark.parametrize("lag", [1, 4])
def test_a_search_goes_on_from_any_subset_of_what_it_was_told(lag: int) -> None:
    whole = CycleQD(recipe(children=40, lag=lag))
    told = finish(whole)
    rng = random.Random(0)
    for count in (0, 1, 2, 3, 4, 10, 25, 43):
        kept = [item for item in told if item.candidate.index < count]
        late = [item for item in told if count < item.candidate.index < count + lag]
        some = kept + rng.sample(late, k=len(late) // 2)
        rng.shuffle(some)
        search = CycleQD(recipe(children=40, lag=lag), some)
        while not search.done:
            candidate = search.ask()
            assert candidate == told[candidate.index].candidate
            search.tell(candidate, scores(candidate))
        assert history(search) == history(whole)


def test_a_longer_search_begins_like_a_shorter_one() -> None:
    short = CycleQD(recipe(children=30))
    search = CycleQD(recipe(children=60), finish(short))
    assert search.ask().index == 33
    assert history(search) == history(short)


@pytest.mark.parametrize("outcome", [None, {"a": math.nan, "b": 0.5, "c": 0.5}])
def test_what_failed_is_offered_to_no_archive_and_the_search_goes_on(outcome: Any) -> None:
    search = CycleQD(recipe(children=30))
    while not search.done:
        candidate = search.ask()
        failed = candidate.index >= 3 and candidate.index % 2
        search.tell(candidate, outcome if failed else scores(candidate))
    indices = {e.index for t in TASKS for e in search.elites(t)}
    assert not {i for i in indices if i >= 3 and i % 2}
    assert search.told_count == 33


def test_an_expert_that_failed_ends_the_search_with_its_name() -> None:
    search = CycleQD(recipe())
    candidates = [search.ask() for _ in range(3)]
    search.tell(candidates[0], scores(candidates[0]))
    search.tell(candidates[1], None)
    with pytest.raises(SearchError, match="expert expert-b could not be evaluated"):
        search.tell(candidates[2], scores(candidates[2]))
    assert not search.archives_ready, "there is nothing true to be written"


def test_a_fixed_quality_is_the_ablation_without_cycles() -> None:
    told = finish(CycleQD(recipe(quality="b", children=20)))
    assert {item.candidate.task for item in told[3:]} == {"b"}


def test_gaussian_mutation_adds_noise_terms_and_none_adds_nothing() -> None:
    gaussian = finish(CycleQD(recipe(mutation={"kind": "gaussian", "std": 0.01}, children=20)))
    assert [(t.expert, t.scale) for t in gaussian[3].candidate.genome.terms] == [(None, 0.01)]
    none = finish(CycleQD(recipe(mutation={"kind": "none"}, children=20)))
    assert all(not item.candidate.genome.terms for item in none)


def test_founders_are_the_first_children_merges_by_one_coefficient_each() -> None:
    told = finish(CycleQD(recipe(founders=[0.3, 0.7], children=5)))
    assert [item.candidate.genome.weights for item in told[3:5]] == [(0.3,) * 3, (0.7,) * 3]
    assert [item.candidate.parents for item in told[3:5]] == [(0, 1, 2)] * 2
    assert [item.candidate.task for item in told[3:6]] == list(TASKS)
    assert len(told[5].candidate.parents) == 2


def test_along_a_line_without_noise_children_are_on_the_line_of_their_parents() -> None:
    on_the_line = {"kind": "iso_line", "iso": 0, "line": 0.5}
    told = finish(CycleQD(recipe(crossover=on_the_line, mutation={"kind": "none"}, children=40)))
    outside = 0
    for item in told[3:]:
        first, second = (told[p].candidate.genome.weights for p in item.candidate.parents)
        pairs = zip(item.candidate.genome.weights, first, second, strict=True)
        steps = [(w - a) / (b - a) for w, a, b in pairs if abs(b - a) > 1e-6]
        assert max(steps) - min(steps) < 1e-6
        outside += not 0 <= steps[0] <= 1
    assert 0 < outside < 40


def test_noise_aside_of_the_line_changes_how_much_of_the_task_vectors_a_child_has() -> None:
    aside = {"kind": "iso_line", "iso": 0.1, "line": 0}
    told = finish(CycleQD(recipe(crossover=aside, mutation={"kind": "none"}, children=200)))
    steps = []
    for item in told[3:]:
        first = told[item.candidate.parents[0]].candidate.genome.weights
        pairs = zip(item.candidate.genome.weights, first, strict=True)
        steps += [w - a for w, a in pairs]
    assert 0.08 < statistics.pstdev(steps) < 0.12


def test_screening_evaluates_one_of_the_children_that_are_proposed() -> None:
    told = finish(CycleQD(recipe(screen=8, children=30)))
    search = CycleQD(recipe(screen=8, children=30))
    for item in told:
        again = search.ask()
        assert again == item.candidate
        search.tell(again, item.scores)
    assert history(finished(recipe(children=30))) != history(search)


def test_screening_finds_better_models_with_as_many_evaluations() -> None:
    def found(screen: int) -> float:
        best = {"preset": "best", "screen": screen, "children": 60}
        searches = [finished(recipe(**best, seed=seed)) for seed in range(3)]
        return sum(a.qd_score for search in searches for a in search.archives.values())

    assert found(16) > found(1)


@pytest.mark.parametrize("tasks", [("a", "b"), TASKS])
def test_any_number_of_tasks_from_two_has_archives_of_the_others(tasks: tuple[str, ...]) -> None:
    search = finished(recipe(tasks=tasks, children=20))
    for task in tasks:
        assert search.archives[task].axes == tuple(t for t in tasks if t != task)


def test_seeds_make_different_searches() -> None:
    assert history(finished(recipe(seed=1))) != history(finished(recipe(seed=2)))


def test_of_equals_at_a_task_the_one_better_at_the_others_comes_first() -> None:
    search = CycleQD(recipe(children=0))
    for k in range(3):
        search.tell(search.ask(), {"a": 1.0, "b": 0.2 * (2 + k), "c": 0.0})
    assert [elite.index for elite in search.elites("a")] == [2, 1, 0]
    assert [elite.index for elite in search.elites("b")] == [2]


def test_aggregation_is_the_softmax_of_the_best_of_each_archive() -> None:
    search = finished(recipe(children=0))
    best = [search.elites(t)[0] for t in TASKS]
    powers = [math.exp(e.scores[t]) for e, t in zip(best, TASKS, strict=True)]
    expected = [
        sum(p * e.genome.weights[k] for p, e in zip(powers, best, strict=True)) / sum(powers)
        for k in range(3)
    ]
    assert search.aggregate().weights == pytest.approx(expected)


def test_recombination_weighs_the_best_all_round_elites_by_their_ranks() -> None:
    search = finished(recipe(children=40, aggregation={"kind": "recombination", "elites": 3}))
    everything = {e.index: e for t in TASKS for e in search.elites(t)}.values()
    best = sorted(everything, key=lambda e: (-sum(e.scores.values()), e.index))[:3]
    assert search.aggregated() == best
    shares = [math.log(3.5) - math.log(i) for i in (1, 2, 3)]
    expected = [
        sum(s * e.genome.weights[k] for s, e in zip(shares, best, strict=True)) / sum(shares)
        for k in range(3)
    ]
    assert search.aggregate().weights == pytest.approx(expected)
    assert len(search.aggregate().terms) > len(best[0].genome.terms)


def test_fewer_elites_than_asked_for_are_recombined_all() -> None:
    search = finished(recipe(children=0, aggregation={"kind": "recombination", "elites": 9}))
    assert len(search.aggregated()) == 3
    assert sum(search.aggregate().weights) == pytest.approx(1.0)


def test_the_aggregate_says_of_what_it_is() -> None:
    of_each = recipe().evolution.aggregation
    assert str(of_each) == "the best elite of each archive, weighted by softmax"
    of_all = recipe(aggregation={"kind": "recombination", "elites": 3}).evolution.aggregation
    assert str(of_all).startswith("the 3 best all-round elites, weighted as")


def test_automatic_ranges_are_85_percent_of_the_weakest_to_115_of_the_strongest() -> None:
    assert automatic_range([0.2, 0.6, 0.4]) == pytest.approx((0.17, 0.69))
    assert automatic_range([-2.0, -1.0]) == pytest.approx((-2.3, -0.85))
    assert automatic_range([0.0, 0.0]) == (0.0, 1.0)


def test_using_it_out_of_order_says_so() -> None:
    search = CycleQD(recipe(children=1))
    candidate = search.ask()
    with pytest.raises(SearchError, match="a score for every task, got none for 'b'"):
        search.tell(candidate, {"a": 1.0})
    search.tell(candidate, scores(candidate))
    with pytest.raises(SearchError, match="not waiting"):
        search.tell(candidate, scores(candidate))
    rest = [search.ask(), search.ask()]
    with pytest.raises(SearchError, match="tell candidate 1 first"):
        search.ask()
    for item in rest:
        search.tell(item, scores(item))
    child = search.ask()
    search.tell(child, scores(child))
    with pytest.raises(SearchError, match="all 4 candidates"):
        search.ask()
    with pytest.raises(SearchError, match="no task is named 'z'"):
        search.elites("z")


def test_fewer_children_than_were_told_is_the_search_up_to_there() -> None:
    short = CycleQD(recipe(children=10))
    finish(short)
    told = finish(CycleQD(recipe(children=20)))
    again = CycleQD(recipe(children=10), told)
    assert again.done and again.told_count == 13
    assert history(again) == history(short)
