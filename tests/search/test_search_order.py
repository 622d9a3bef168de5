"""Ask and tell: who waits for whom, and what a search says of itself on the way."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.recipe.section import LARGEST
from mergekit_cycleqd.search.candidate import Candidate, Outcome, quality_task
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.population import Population
from mergekit_cycleqd.search.scores import mean_scores, scores_by_candidate
from tests.support.searches import TASKS, finish, history, recipe, scores


def test_counts_of_a_search_on_its_way() -> None:
    search = CycleQD(recipe(children=2))
    seen = []
    while not search.done:
        seen.append((search.told_count, search.children_told, search.archives_ready, search.done))
        candidate = search.ask()
        search.tell(candidate, scores(candidate))
    assert seen == [
        (0, 0, False, False),
        (1, 0, False, False),
        (2, 0, False, False),
        (3, 0, True, False),
        (4, 1, True, False),
    ]
    assert (search.told_count, search.children_told, search.done) == (5, 2, True)
    assert not search.ready


def test_experts_may_be_told_in_any_order() -> None:
    search = CycleQD(recipe(children=1))
    experts = [search.ask() for _ in range(3)]
    for candidate in reversed(experts):
        assert not search.ready
        search.tell(candidate, scores(candidate))
    assert search.ready and search.archives_ready
    straight = CycleQD(recipe(children=1))
    for candidate in [straight.ask() for _ in range(3)]:
        straight.tell(candidate, scores(candidate))
    assert history(search) == history(straight)


@pytest.mark.parametrize("lag", [1, 2, 5])
def test_as_many_children_are_under_way_as_the_lag_says(lag: int) -> None:
    search = CycleQD(recipe(children=12, lag=lag))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    under_way = []
    while search.ready:
        under_way.append(search.ask())
    assert len(under_way) == lag
    message = f"candidate {3 + lag} needs the scores of candidates before 4; tell candidate 3 first"
    with pytest.raises(SearchError, match=message):
        search.ask()


def test_a_child_sees_what_its_lag_lets_it_see_and_no_more() -> None:
    """However early other scores arrive, the archives are those after candidate i - lag."""
    search = CycleQD(recipe(children=12, lag=3))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    one, two, three = (search.ask() for _ in range(3))
    best = dict.fromkeys(TASKS, 2.0)
    search.tell(two, best)
    search.tell(three, best)
    assert search.best_all_round().index < 3
    search.tell(one, scores(one))
    assert search.best_all_round().index <= 3, "child 6 is bred from what came before child 4"
    search.ask()
    assert search.best_all_round().index == two.index


def test_at_the_end_all_is_offered_to_the_archives() -> None:
    search = CycleQD(recipe(children=3, lag=9))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    children = [search.ask() for _ in range(3)]
    for candidate in children:
        search.tell(candidate, dict.fromkeys(TASKS, 2.0 + candidate.index))
    assert search.best_all_round().index == 5


@pytest.mark.parametrize(("score", "kept"), [(LARGEST, True), (-LARGEST, True), (1.01e300, False)])
def test_a_score_beyond_what_an_axis_can_hold_is_a_failure(score: float, kept: bool) -> None:
    search = CycleQD(recipe(children=1))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    child = search.ask()
    search.tell(child, {"a": score, "b": 0.9, "c": 0.9})
    indices = {elite.index for task in TASKS for elite in search.elites(task)}
    assert (child.index in indices) == kept


def test_scores_are_kept_for_the_tasks_of_the_recipe_in_their_order() -> None:
    search = CycleQD(recipe(children=0))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, {"c": 1, "other": 5.0, "b": 0.5, "a": 0.25})
    assert list(search.elites("a")[0].scores.items()) == [("a", 0.25), ("b", 0.5), ("c", 1.0)]


def told(run: Any, **change: Any) -> list[Outcome]:
    found = finish(CycleQD(run))
    candidate = found[4].candidate
    fields = {name: getattr(candidate, name) for name in Candidate.__slots__}
    found[4] = Outcome(Candidate(**fields | change), found[4].scores)
    return found


def test_a_journal_that_tells_a_candidate_twice_is_refused() -> None:
    run = recipe(children=6)
    with pytest.raises(SearchError, match="candidate 3 was told twice"):
        CycleQD(run, told(run, index=3))
    late = finish(CycleQD(run))
    with pytest.raises(SearchError, match="candidate 7 was told twice"):
        CycleQD(run, [late[7], late[7]])


def test_a_journal_of_another_task_is_refused() -> None:
    run = recipe(children=6)
    with pytest.raises(SearchError, match="candidate 4 is of no task: 'z'"):
        CycleQD(run, told(run, task="z"))


def test_only_what_was_asked_for_can_be_told_and_as_it_was() -> None:
    search = CycleQD(recipe(children=2))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    child = search.ask()
    other = Candidate(child.index, child.task, child.genome, (0, 0))
    with pytest.raises(SearchError, match="candidate 3 is not waiting"):
        search.tell(other, scores(child))
    search.tell(child, scores(child))


def test_the_turn_passes_from_task_to_task() -> None:
    assert [quality_task(recipe(), index) for index in range(3, 10)] == ["a", "b", "c"] * 2 + ["a"]
    assert [quality_task(recipe(cycle=2), index) for index in range(3, 9)] == list("aabbcc")
    assert {quality_task(recipe(quality="c"), index) for index in range(3, 9)} == {"c"}


def test_scores_of_all_evaluations_of_a_candidate_are_gathered() -> None:
    lines = [
        (0, None, {"a": 1.0}),
        (1, None, None),
        (2, 0, {"a": 3.0}),
        (3, 0, None),
        (4, 1, {"a": 7.0}),
    ]
    assert scores_by_candidate(lines) == {0: [{"a": 1.0}, {"a": 3.0}], 1: [{"a": 7.0}]}
    assert mean_scores([{"a": 1.0, "b": 0.0}, {"a": 3.0, "b": 0.5}]) == {"a": 2.0, "b": 0.25}


def test_ranges_are_those_of_the_recipe_where_it_says_them() -> None:
    run = recipe(children=0)
    first = run.tasks[0].model_copy(update={"range": (0.25, 0.75), "bins": 7})
    run = run.model_copy(update={"tasks": (first, *run.tasks[1:])})
    search = CycleQD(run)
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, {"a": 0.5, "b": 0.2 * (1 + candidate.index), "c": 0.0})
    archive = search.archives["b"]
    assert archive.axes == ("a", "c") and archive.bins == (7, 15)
    assert archive.ranges == ((0.25, 0.75), (0.0, 1.0))
    assert search.archives["a"].ranges[0] == pytest.approx((0.17, 0.69))


def test_candidates_are_only_remembered_where_they_may_come_back() -> None:
    search = CycleQD(recipe(children=4, reevaluate=2))
    experts = []
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    experts = [elite for task in TASKS for elite in search.elites(task)]
    remembering, forgetting = (
        Population(recipe(children=4, **more), experts[:1]) for more in ({"reevaluate": 2}, {})
    )
    assert remembering.has(experts[0].index) and not forgetting.has(experts[0].index)
    assert not remembering.has(99)


def test_floors_are_those_of_all_archives() -> None:
    search = CycleQD(recipe(children=0))
    for candidate in [search.ask() for _ in range(3)]:
        search.tell(candidate, scores(candidate))
    assert [floor.task for floor in search.entry_thresholds.archives] == list(TASKS)


def test_an_unknown_task_has_no_elites() -> None:
    with pytest.raises(SearchError, match="no task is named 'z'; known: a, b, c"):
        CycleQD(recipe()).elites("z")
