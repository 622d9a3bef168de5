"""Which model of a run is to be taken, and what the summary says of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.run_folder.choice import (
    Choice,
    Wish,
    choices,
    front,
    model_to_take,
    ranked,
    worth_of,
)
from mergekit_cycleqd.run_folder.outputs import write_outputs
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.summary import summary
from mergekit_cycleqd.run_folder.verdict import verdict
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.worth import Worth
from tests.support.scored_runs import write_run
from tests.support.searches import finish, recipe

SIZES: dict[Any, dict[str, int]] = {"search": {"a": 10, "b": 20}, "holdout": {"a": 5}}


def scored(*found: Mapping[str, float]) -> list[Choice]:
    genome = Genome.from_base(recipe().family)
    return [Choice(i, f"{i}.yaml", genome, scores) for i, scores in enumerate(found)]


def numbers(found: list[Choice]) -> list[int | None]:
    return [choice.number for choice in found]


MODELS = scored(
    {"a": 0.9, "b": 0.1}, {"a": 0.5, "b": 0.6}, {"a": 0.2, "b": 0.8}, {"a": 0.4, "b": 0.6}
)


@pytest.mark.parametrize(
    ("wish", "order"),
    [
        (Wish({}, {}, {}), [1, 0, 2, 3]),
        (Wish({"a": 3}, {}, {}), [0, 1, 3, 2]),
        (Wish({"a": 0}, {}, {}), [2, 1, 3, 0]),
        (Wish({}, {"b": 0.6}, {}), [1, 2, 3]),
        (Wish({}, {"b": 0.6}, {"a": 0.4}), [2, 3]),
        (Wish({}, {"b": 0.95}, {}), []),
    ],
)
def test_models_are_chosen_by_weights_within_limits(wish: Wish, order: list[int]) -> None:
    assert numbers(ranked(MODELS, Worth(), wish)) == order


def test_the_front_has_what_nothing_betters_on_every_task() -> None:
    assert numbers(front(MODELS, Worth())) == [0, 1, 2]
    assert numbers(front([*MODELS, MODELS[1]], Worth())) == [0, 1, 2], "equals stand once"
    lower = Worth({"b": (0.0, 1.0)})
    assert numbers(front(MODELS, lower)) == [0]


def searched(**evolution: Any) -> CycleQD:
    search = CycleQD(recipe(children=20, **evolution))
    finish(search)
    return search


def test_every_elite_can_be_chosen_once_and_the_best_first() -> None:
    search = searched()
    found = choices(search, lambda *_: None)
    best = search.best_all_round()
    assert found[0].number == best.index and found[0].recipe == "best.yaml"
    every = {elite.index for task in search.tasks for elite in search.elites(task)}
    assert sorted(numbers(found)) == sorted(every)  # type: ignore[type-var]


def test_the_aggregate_is_taken_only_where_it_scores_more() -> None:
    search = searched()
    best = search.best_all_round()
    for change, recipe_of in ((0.01, "aggregate.yaml"), (0.0, "best.yaml"), (-0.01, "best.yaml")):
        scores = {task: score + change for task, score in best.scores.items()}
        taken = model_to_take(search, lambda *_, found=scores: found)  # type: ignore[misc]
        assert taken.recipe == recipe_of


def test_the_summary_names_the_model_to_take_and_what_the_others_score(tmp_path: Path) -> None:
    search = write_run(tmp_path, children=40)
    run = RunView.read(tmp_path)
    lines = verdict(search, run.scores)
    taken = model_to_take(search, run.scores)
    assert lines[0].startswith(f"Take `{taken.recipe}`: {taken.name} is best over all tasks")
    assert [line.split(":")[0] for line in lines[1:]] == [
        "Means on search samples",
        "Means on holdout samples",
    ]
    other = "`aggregate.yaml` 0." if taken.number is not None else "`best.yaml` 0."
    assert "the best expert (" in lines[2] and "the base 0." in lines[2] and other in lines[2]
    text = summary(search, run.scores, run.counts)
    assert f"\n\n{' '.join(lines)}\n\n## Archives" in text
    assert "Take" not in summary(search, run.scores, run.counts, warned=False)


def test_an_expert_that_nothing_betters_is_named() -> None:
    search = CycleQD(recipe(children=0))
    finish(search)
    best = search.best_all_round().index
    lines = verdict(search, lambda *_: None)
    assert lines[1] == f"No merge bettered it: it is the expert {search.tasks[best]}."


def test_where_lower_is_better_no_means_are_told() -> None:
    content = recipe(children=6)
    task = content.tasks[0].model_copy(update={"maximize": False})
    search = CycleQD(content.model_copy(update={"tasks": (task, *content.tasks[1:])}))
    finish(search)
    assert "mean" not in " ".join(verdict(search, lambda *_: {t: 0.5 for t in search.tasks}))
    assert worth_of(search).is_lower("a")


def test_the_best_all_round_elite_is_a_file_and_archives_name_it(tmp_path: Path) -> None:
    search = searched()
    write_outputs(tmp_path, search, lambda *_: None, SIZES)
    best = search.best_all_round()
    text = (tmp_path / "best.yaml").read_text()
    assert text.startswith(f"# best all-round elite: candidate {best.index}, parents ")
    assert Genome.from_mergekit(yaml.safe_load(text)) == best.genome
    named = json.loads((tmp_path / "archives.json").read_text())["best_all_round"]
    assert named == {"index": best.index, "id": best.genome.id, "recipe": "best.yaml"}
    assert (tmp_path / "aggregate.yaml").is_file()
