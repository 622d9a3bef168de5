"""Plain task vectors and task singular vectors side by side in one search."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.recipe.load import load_recipe
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.candidate import Candidate
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.screening import most_promising
from tests.support import runs
from tests.support.merges import in_place
from tests.support.recipes import RecipeMaker
from tests.support.runs import run_main
from tests.support.searches import TASKS, finish, history, recipe

run = runs.run_as_planned
BOTH: dict[str, Any] = {"task_vectors": {"kind": "both"}, "founders": [0.5, 1.0]}


def scores(candidate: Candidate) -> dict[str, float]:
    """Plain sums have one skill, whichever weight is largest; singular ones have all of them."""
    weights = candidate.genome.weights
    if candidate.genome.family.task_vectors.number:
        return {t: 0.9 * math.exp(-((w - 1.2) ** 2)) for t, w in zip(TASKS, weights, strict=True)}
    others = [sum(weights) - w for w in weights]
    return {
        t: math.exp(-((w - 1) ** 2) - 2 * abs(o))
        for t, w, o in zip(TASKS, weights, others, strict=True)
    }


@pytest.mark.parametrize("preset", ["paper", "best"])
def test_every_founder_is_made_of_each_and_a_child_is_of_its_first_parents_kind(
    preset: str,
) -> None:
    asked = recipe(children=60, preset=preset, screen=1, **BOTH)
    plain, singular = asked.families
    assert (plain.task_vectors.number, singular.task_vectors.number) == (0, 1 / 3)
    assert asked.task_vectors == (singular.task_vectors,)
    told = finish(CycleQD(asked), scores)
    assert all(item.candidate.genome.family == plain for item in told[:3])
    founders = [(family, (c,) * 3) for family in (plain, singular) for c in (0.5, 1.0)]
    assert [(t.candidate.genome.family, t.candidate.genome.weights) for t in told[3:7]] == founders
    kinds = [item.candidate.genome.family for item in told]
    pairs = {
        tuple(kinds[parent].task_vectors.number for parent in item.candidate.parents)
        for item in told[7:]
    }
    assert {(0, 1 / 3), (1 / 3, 0)} <= pairs
    for item in told[7:]:
        assert kinds[item.candidate.index] == kinds[item.candidate.parents[0]]


def test_archives_hold_the_better_of_both_and_the_aggregate_is_of_the_best_kind() -> None:
    for aggregation in ("best", "recombination"):
        search = CycleQD(recipe(children=60, **BOTH, aggregation={"kind": aggregation}))
        finish(search, scores)
        for task in TASKS:
            elites = search.elites(task)
            assert (
                elites[0].genome.family.task_vectors.number == 0 and elites[0].index < 3
            )  # the expert
            assert any(elite.genome.family.task_vectors.number for elite in elites)
        assert search.best_all_round().genome.family.task_vectors.number == 1 / 3
        made_of = search.aggregated()
        assert (
            {e.genome.family.task_vectors.number for e in made_of}
            == {search.aggregate().family.task_vectors.number}
            == {1 / 3}
        )
        if aggregation == "best":
            assert made_of == [
                next(e for e in search.elites(t) if e.genome.family.task_vectors.number)
                for t in TASKS
            ]


def test_an_archive_without_any_of_the_best_kind_is_left_out_of_the_aggregate() -> None:
    search = CycleQD(recipe(children=4, task_vectors={"kind": "both"}, founders=[0.5, 1.0]))
    plain = [1, 0, 0], [0, 1, 0], [0, 0, 1], [0.87, 0.87, 0.01], [0, 0, 0]
    for found in (*plain, [0.9, 0.9, 0], [0, 0, 0]):  # the fourth and the sixth share their cells
        search.tell(search.ask(), dict(zip(TASKS, map(float, found), strict=True)))
    assert search.best_all_round().index == 5
    assert [elite.index for elite in search.aggregated()] == [5, 5]
    assert search.aggregate().weights == pytest.approx((0.5, 0.5, 0.5))


@pytest.mark.parametrize("preset", ["paper", "best"])
def test_it_goes_on_from_what_it_was_told(preset: str) -> None:
    asked = recipe(children=40, preset=preset, screen=8, **BOTH)
    whole = CycleQD(asked)
    told = finish(whole, scores)
    again = CycleQD(asked, told[:20])
    finish(again, scores)
    assert history(again) == history(whole)


def test_elites_say_most_of_proposals_of_their_own_kind() -> None:
    one, other = (
        Family("base", ("a", "b")),
        Family("base", ("a", "b"), task_vectors=TaskVectors("tsv", 0.5)),
    )
    archives = {
        "one": TaskArchive("one", ["two"], [10], [(0.0, 1.0)]),
        "two": TaskArchive("two", ["one"], [10], [(0.0, 1.0)]),
    }
    for index, at in enumerate(x / 10 for x in range(8)):  # the same places, good and bad
        found = {one: {"one": at, "two": at}, other: {"one": at / 9, "two": 0.95}}
        for number, (family, known) in enumerate(found.items()):
            elite = Elite(2 * index + number, Genome(family, (at, at)), known, ())
            for archive in archives.values():
                archive.add(elite)
    proposals = [Genome(other, (0.8, 0.8)), Genome(one, (0.8, 0.8))]
    assert most_promising(proposals, archives) == 1
    assert most_promising(proposals[::-1], archives) == 0


def both(**section: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["evolution"] |= BOTH | {"children": 16, "mutation": {"kind": "none"}, **section}

    return change


def test_without_founders_there_would_be_no_first_of_the_second_kind(
    make_named_recipe: RecipeMaker,
) -> None:
    with pytest.raises(RecipeError, match=r"evolution: .*kind both needs founders.*or kind tsv"):
        load_recipe(make_named_recipe(both(founders=[])))

    def best(content: dict[str, Any]) -> None:
        content["evolution"] = {"preset": "best"}

    assert len(load_recipe(make_named_recipe(best)).founders) == 8


def test_a_run_has_models_of_both_kinds_in_its_archives(
    make_recipe: RecipeMaker, run: Callable[[Path], RunView], tmp_path: Path
) -> None:
    found, out = run(make_recipe(both())), tmp_path / "run"
    archives = json.loads((out / "archives.json").read_text())["archives"]
    told = {e["index"]: e for archive in archives.values() for e in archive["elites"]}
    assert {e.get("tsv", 0) for e in told.values()} == {0, 1 / 3}
    files = {int(file.stem): file for file in out.glob("elites/*/*.yaml")}
    for index, elite in told.items():
        said = yaml.safe_load(files[index].read_text())["parameters"]
        assert said.get("tsv", 0) == elite.get("tsv", 0)
    singular = next(index for index in sorted(told) if "tsv" in told[index])
    assert run_main("merge", files[singular], tmp_path / "merged", "--quiet") == 0
    merged = load_file(tmp_path / "merged" / "model.safetensors")
    elites = [elite for task in found.search.tasks for elite in found.search.elites(task)]
    genome = next(elite.genome for elite in elites if elite.index == singular)
    for name, tensor in in_place(genome, tmp_path).items():
        assert torch.allclose(tensor, merged[name], atol=1e-5), name
