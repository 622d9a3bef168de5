"""Experts that are no better than the base at their own task."""

from __future__ import annotations

from typing import Any

import pytest

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.summary import summary
from mergekit_cycleqd.run_folder.weak_experts import weak_experts
from mergekit_cycleqd.search.cycleqd import CycleQD
from tests.support.recipes import recipe_content

BASE = {"a": 0.5, "b": 0.5, "c": 0.5}


def search_of(lower: str, own: dict[str, float]) -> tuple[CycleQD, dict[str, dict[str, float]]]:
    """Search with a base of 0.5 everywhere; each expert has its own score at its task, else 0."""
    content: dict[str, Any] = recipe_content(evolution={"children": 0})
    for task in content["tasks"]:
        task["maximize"] = task["name"] not in lower
    search = CycleQD(Recipe.model_validate(content))
    found = {Genome.from_base(search.family).id: BASE}
    for task in "abc":
        candidate = search.ask()
        scores = {name: own[task] if name == task else 0.1 for name in "abc"}
        found[candidate.genome.id] = scores
        search.tell(candidate, scores)
    return search, found


@pytest.mark.parametrize(
    ("lower", "own", "weak"),
    [
        ("", {"a": 0.9, "b": 0.5, "c": 0.4}, ["b", "c"]),
        ("", {"a": 0.9, "b": 0.6, "c": 0.7}, []),
        ("b", {"a": 0.9, "b": 0.4, "c": 0.7}, []),
        ("bc", {"a": 0.9, "b": 0.6, "c": 0.5}, ["b", "c"]),
    ],
)
def test_an_expert_that_is_no_better_than_the_base_is_told(
    lower: str, own: dict[str, float], weak: list[str]
) -> None:
    search, found = search_of(lower, own)
    lines = weak_experts(search, lambda genome: found.get(genome.id))
    assert [search.tasks[place] for place in lines] == weak
    for task in weak:
        assert lines[search.tasks.index(task)] == (
            f"the expert of {task} is no better than the base at its own task: "
            f"{own[task]:.3f} and 0.500 on search samples"
        )
    sizes = {"search": dict.fromkeys("abc", 10), "holdout": {}}
    text = summary(search, lambda genome, split: found.get(genome.id), sizes)
    assert text.count("- Warning: the expert") == len(weak)


def test_an_expert_that_was_evaluated_again_is_compared_on_the_samples_of_the_base() -> None:
    search, found = search_of("", {"a": 0.9, "b": 0.6, "c": 0.4})
    again = {Genome.from_expert(search.family, i).id: dict.fromkeys("abc", 0.5) for i in range(3)}
    (line,) = weak_experts(search, lambda genome: (found | again).get(genome.id)).values()
    assert line.startswith("the expert of c is no better") and "0.400 and 0.500 on" in line


def test_nothing_is_said_of_what_was_not_scored() -> None:
    search, _ = search_of("", {"a": 0.1, "b": 0.1, "c": 0.1})
    assert weak_experts(search, lambda genome: None) == {}
