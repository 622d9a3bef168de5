"""Searches with other numbers of experts than of tasks."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import pytest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import Matern, WhiteKernel

from mergekit_cycleqd.errors import SearchError
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.search import screening
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.searches import finish

PAIRS = [(1, 1), (2, 1), (2, 3), (7, 2), (3, 4)]
CHEAP: dict[str, Any] = {"founders": [0.5], "screen": 4, "crossover": {"kind": "iso_line"}}


def recipe(experts: list[str | None], tasks: int, *, bins: int = 4, **evolution: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": f"m{i}", "task": task} for i, task in enumerate(experts)],
            "tasks": [
                {
                    "name": f"t{k}",
                    "task": "x",
                    "metric": "acc",
                    "samples": {"search": "0-9"},
                    "bins": bins,
                    "measures": None if tasks > 1 else [{"of": "weights", "bins": bins}],
                }
                for k in range(tasks)
            ],
            "evolution": {"children": 40, **evolution},
        }
    )


def none_of(experts: int, tasks: int, **evolution: Any) -> Recipe:
    return recipe([None] * experts, tasks, **evolution)


def scores(candidate: Candidate) -> dict[str, float]:
    weights = candidate.genome.weights
    shake = sum(term.scale * (term.seed % 97) for term in candidate.genome.terms) / 1000
    return {f"t{k}": math.cos(k + sum(weights[k:])) + shake for k in range(4)}


@pytest.mark.parametrize(("experts", "tasks"), PAIRS)
@pytest.mark.parametrize("evolution", [{}, CHEAP, {"reevaluate": 5}], ids=["paper", "screen", "re"])
def test_a_search_ends_and_goes_on_from_any_point(
    experts: int, tasks: int, evolution: dict[str, Any]
) -> None:
    run = none_of(experts, tasks, **evolution)
    search = CycleQD(run)
    told = finish(search, scores)
    assert search.total == experts + 40 and search.children_told == 40
    assert len(search.archives) == tasks
    assert all(len(outcome.candidate.genome.weights) == experts for outcome in told)
    again = CycleQD(run, told[: experts + 13])
    finish(again, scores)
    for task in search.tasks:
        assert [(e.index, e.genome.id) for e in again.elites(task)] == [
            (e.index, e.genome.id) for e in search.elites(task)
        ]
    assert again.aggregate().id == search.aggregate().id


def mutated(run: Recipe) -> dict[str, Counter[int | None]]:
    """By quality task, how often each expert's directions were scaled in a child of its own."""
    found = {task: Counter[int | None]() for task in run.task_names}
    seen: set[int] = set()
    for outcome in finish(CycleQD(run), scores):
        candidate = outcome.candidate
        own = [term for term in candidate.genome.terms if term.seed not in seen]
        seen |= {term.seed for term in own}
        if candidate.parents:
            found[candidate.task].update(term.expert for term in own)
    return found


def test_mutation_scales_an_expert_of_the_quality_task_or_any_if_it_has_none() -> None:
    children = {"children": 300, "sampling": {"kind": "random"}}
    run = recipe([None, "t1", "t0", "t1"], 3, bins=1, **children)
    assert run.family.experts == ("m2", "m1", "m3", "m0")
    found = mutated(run)
    assert set(found["t0"]) == {0}
    assert set(found["t1"]) == {1, 2} and min(found["t1"].values()) > 25
    assert set(found["t2"]) == {0, 1, 2, 3} and min(found["t2"].values()) > 10


def test_one_task_has_one_archive_of_the_experts_weights() -> None:
    search = CycleQD(none_of(2, 1))
    finish(search, scores)
    (archive,) = search.archives.values()
    assert archive.axes == ("weight of m0", "weight of m1")
    assert archive.ranges == ((0.0, 1.5), (0.0, 1.5))
    for elite in archive.elites:
        terms = [sum(t.scale for t in elite.genome.terms if t.expert == k) / 2 for k in (0, 1)]
        expected = [w + t for w, t in zip(elite.genome.weights, terms, strict=True)]
        assert elite.along(archive.axes) == pytest.approx(expected)
    assert len(archive.elites) > 3


def test_what_a_task_reports_may_span_its_archive() -> None:
    run = recipe([None, None], 2)
    content = run.written()
    content["tasks"][0]["measures"] = ["output_length", {"task": "t1", "bins": 2}]
    run = Recipe.model_validate(content)
    search = CycleQD(run)
    assert search.measures.reported == ("output_length of t0",)

    def with_length(candidate: Candidate) -> dict[str, float]:
        return scores(candidate) | {"output_length of t0": 100.0 + 40 * candidate.genome.weights[0]}

    told = finish(search, with_length)
    archive = search.archives["t0"]
    assert archive.axes == ("output_length of t0", "t1") and archive.bins == (15, 2)
    assert archive.ranges[0] == pytest.approx((85.0, 161.0))
    assert {cell for cell in map(archive.cell_of, archive.elites)} != {(0, 0)}
    assert all(set(elite.scores) == {"t0", "t1"} for elite in archive.elites)
    assert all("output_length of t0" in (outcome.scores or {}) for outcome in told)
    fresh = CycleQD(run)
    with pytest.raises(SearchError, match="got no 'output_length of t0'"):
        fresh.tell(fresh.ask(), {"t0": 0.1, "t1": 0.2})


def test_the_early_stop_knows_a_candidates_weights_and_nothing_of_what_is_reported() -> None:
    search = CycleQD(none_of(2, 1))
    finish(search, scores)
    (archive,) = search.archives.values()
    elite = archive.elites[-1]
    quality = elite.scores["t0"]
    (floor,) = search.thresholds_for(elite.genome).archives
    assert not floor.reachable({"t0": (-9.0, quality)})
    assert floor.reachable({"t0": (-9.0, quality + 1e-9)})
    (floor,) = search.entry_thresholds.archives
    assert floor.reachable({"t0": (-9.0, quality)})  # of an unknown genome


class Plain:
    """The surrogate by scikit-learn alone: a regressor for each kernel, fitted for each child."""

    def __init__(self, places: Any, values: Any, lengths: Any, noises: Any) -> None:
        """Fit them all, and keep the likeliest."""
        kernels = (Matern(a, nu=1.5) + WhiteKernel(b) for a in lengths for b in noises)
        found = [
            GaussianProcessRegressor(kernel, optimizer=None, normalize_y=True).fit(places, values)
            for kernel in kernels
        ]
        self._best = max(found, key=lambda one: one.log_marginal_likelihood_value_)

    def predict(self, proposed: Any) -> tuple[Any, Any]:
        means, deviations = self._best.predict(proposed, return_std=True)
        return means.reshape(len(proposed), -1), deviations.reshape(len(proposed), -1)


@pytest.mark.parametrize("axes", ["weights", "mixed"])
@pytest.mark.parametrize(("experts", "tasks"), [(2, 1), (3, 2), (2, 3)])
def test_screening_by_weights_of_experts_proposes_what_scikit_learn_would(
    experts: int, tasks: int, axes: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = none_of(experts, tasks, screen=8, founders=[0.5]).written()
    for task in content["tasks"]:
        reported = ["output_length"] if axes == "mixed" else []
        task["measures"] = [*reported, {"of": "weights", "bins": 4}]
    run = Recipe.model_validate(content)

    def all_of(candidate: Candidate) -> dict[str, float]:
        weights = candidate.genome.weights
        return scores(candidate) | {f"output_length of t{k}": 99.0 + weights[0] for k in range(4)}

    def children() -> list[str]:
        return [told.candidate.genome.id for told in finish(CycleQD(run), all_of)]

    fast = children()
    fits: list[Plain] = []

    def fit(*data: Any) -> Plain:
        assert np.shape(data[1])[1] == tasks + (tasks if axes == "mixed" else 0)
        fits.append(Plain(*data))
        return fits[-1]

    monkeypatch.setattr(screening, "fit", fit)
    assert children() == fast and len(fits) == 39
