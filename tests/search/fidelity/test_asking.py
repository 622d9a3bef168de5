"""A candidate is asked further only while it may be kept; what is kept was asked everything."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pytest

from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.early_stop import CannotEnter, EntryThresholds
from mergekit_cycleqd.search.fidelity.asking import Asking
from mergekit_cycleqd.search.fidelity.expected import Array
from tests.support.asked_candidates import FULL, GENOME, archives, asking, skilled


class Candidate:
    """Answers what it is asked, and counts."""

    def __init__(self, a: Array, b: Array) -> None:
        self.answers = {"a": a, "b": b}
        self.asked = {"a": np.zeros(20, int), "b": np.zeros(20, int)}

    def __call__(self, only: Mapping[str, Sequence[int]]) -> dict[str, Array]:
        for task, places in only.items():
            assert list(places) == sorted(places)
            self.asked[task][places] += 1
        return {task: self.answers[task][list(places)] for task, places in only.items()}


@pytest.mark.parametrize("lower", [False, True])
def test_with_all_answers_the_chance_is_what_the_archives_do(lower: bool) -> None:
    rng = np.random.Generator(np.random.Philox(3))
    for _ in range(40):
        found = archives(*(map(tuple, rng.integers(0, 21, size=(5, 2)) / 20)))
        if lower:
            worth = replace(found[0].worth, ranges={"a": (0.0, 1.0)})
            found = [TaskArchive(t.task, t.axes, t.bins, t.ranges, worth) for t in found]
            found[0].add(Elite(0, GENOME, {"a": 0.3, "b": 0.3}, ()))
        a, b = (skilled(share) for share in rng.integers(0, 21, size=2) / 20)
        chance = asking(found, best=9.0).chance({"a": a, "b": b})
        elite = Elite(99, GENOME, {"a": float(a.mean()), "b": float(b.mean())}, ())
        assert chance == float(any([archive.add(elite) for archive in found]))


def test_a_hopeless_candidate_is_asked_a_few_questions() -> None:
    weak = Candidate(skilled(0.0), skilled(0.0))
    with pytest.raises(CannotEnter) as stop:
        asking(archives(*FULL), best=1.8).answers(weak)
    asked = sum(int(each.sum()) for each in weak.asked.values())
    assert 5 <= asked <= 10 and max(map(max, weak.asked.values())) == 1
    for task, values in stop.value.samples.items():
        assert (~np.isnan(values)).sum() == weak.asked[task].sum()
        assert stop.value.bounds[task] == (0.0, 1 - weak.asked[task].sum() / 20)


def test_a_candidate_that_may_be_kept_answers_everything_once() -> None:
    good = Candidate(skilled(1.0), skilled(0.95))
    found = asking(archives(*FULL), best=1.8, mean=0.9).answers(good)
    assert all((each == 1).all() for each in good.asked.values())
    for task, values in found.items():
        np.testing.assert_array_equal(values, good.answers[task])


def test_the_best_model_of_all_is_kept_though_no_archive_takes_it() -> None:
    full = archives(*[(1.0, b) for b in (0.1, 0.35, 0.6, 1.0)], (0.1, 1.0), (0.35, 1.0), (0.6, 1.0))
    answers = {"a": skilled(0.8), "b": skilled(0.8)}
    assert asking(full, best=1.5).chance(answers) == 1.0
    assert asking(full, best=1.6).chance(answers) == 0.0


def test_an_archive_of_a_measure_that_is_reported_may_take_anything() -> None:
    full = archives(*FULL)
    other = TaskArchive("a", ["output_length of a"], [4], [(0.0, 9.0)])
    assert asking([*full, other], best=1.8).chance({}) == 1.0
    known = EntryThresholds((other.entry_threshold,)).knowing({"output_length of a": 3.0})
    assert asking(full, best=1.8, mean=0.1).chance({}) < 0.5
    one = replace(asking(full, best=9.0), thresholds=known)
    assert one.chance({}) == 1.0, "its cell is empty"


def test_samples_without_a_score_are_not_asked_again() -> None:
    part = skilled(1.0)
    part[3] = np.nan
    candidate = Candidate(part, skilled(1.0))
    found = asking(archives(*FULL), best=1.8, mean=0.9).answers(candidate)
    assert all((each == 1).all() for each in candidate.asked.values())
    assert np.isnan(found["a"][3])


def test_another_process_asks_the_same() -> None:
    ours = asking(archives(*FULL), best=1.8)
    theirs = Asking.from_json(json.loads(json.dumps(ours.to_json())))
    assert theirs.order == ours.order and theirs.questions == ours.questions
    for answers in ({}, {"a": skilled(0.5), "b": skilled(0.9)}):
        assert theirs.chance(answers) == ours.chance(answers)
