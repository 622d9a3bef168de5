"""Screening: the proposal that the archives expect most from."""

from __future__ import annotations

import numpy as np
import pytest

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.screening import most_promising, position

FAMILY = Family("base", ("a", "b"))


def model(*weights: float) -> Genome:
    return Genome(FAMILY, weights)


def score(genome: Genome) -> dict[str, float]:
    """Each skill is best at a weight of 0.8 of its expert."""
    one, two = position(genome)
    return {"one": float(np.exp(-((one - 0.8) ** 2))), "two": float(np.exp(-((two - 0.8) ** 2)))}


@pytest.fixture
def archives() -> dict[str, TaskArchive]:
    made = {
        "one": TaskArchive("one", ["two"], [10], [(0.0, 1.0)]),
        "two": TaskArchive("two", ["one"], [10], [(0.0, 1.0)]),
    }
    grid = [model(x, y) for x in np.linspace(-1, 0.4, 7) for y in np.linspace(-1, 0.4, 7)]
    for index, genome in enumerate(grid):
        for archive in made.values():
            archive.add(Elite(index, genome, score(genome), ()))
    return made


def test_a_genome_lies_at_the_mean_factors_of_its_experts_directions() -> None:
    genome = mutate(mutate(model(0.5, 0.25), Term(1, 7, 0.5)), Term(None, 8, 9.0))
    assert position(genome) == [0.5, 0.5]


def test_of_empty_cells_the_one_with_better_scores_is_chosen() -> None:
    archives = {
        "one": TaskArchive("one", ["two"], [10], [(0.0, 1.0)]),
        "two": TaskArchive("two", ["one"], [10], [(0.0, 1.0)]),
    }
    steps = np.linspace(-1, 0.8, 10)
    for index, at in enumerate(steps):  # good at one task, or at the other
        for genome in (model(at, -1 - at / 2), model(-1 - at / 2, at)):
            for archive in archives.values():
                archive.add(Elite(index, genome, score(genome), ()))
    proposals = [model(-1.2, -1.2), model(0.3, 0.3), model(0.1, -1.05)]
    assert most_promising(proposals, archives) == 1


def test_what_the_archives_hold_already_is_not_chosen(archives: dict[str, TaskArchive]) -> None:
    best_held = archives["one"].elites[0].genome
    assert most_promising([best_held, model(0.5, 0.5)], archives) == 1


def test_the_choice_does_not_depend_on_the_unit_of_a_score(
    archives: dict[str, TaskArchive],
) -> None:
    def percent(archive: TaskArchive) -> TaskArchive:
        low, high = archive.ranges[0]
        scaled = TaskArchive(archive.task, archive.axes, archive.bins, [(100 * low, 100 * high)])
        for elite in archive.elites:
            scores = {task: 100 * value for task, value in elite.scores.items()}
            scaled.add(Elite(elite.index, elite.genome, scores, ()))
        return scaled

    in_percent = {task: percent(archive) for task, archive in archives.items()}
    rng = np.random.default_rng(0)
    for _ in range(5):
        proposals = [model(*rng.uniform(-1, 1, 2)) for _ in range(8)]
        assert most_promising(proposals, in_percent) == most_promising(proposals, archives)


def test_all_round_the_better_mean_is_chosen_whatever_cells_are_empty(
    archives: dict[str, TaskArchive],
) -> None:
    proposals = [model(-0.225, 0.4), model(0.5, 0.5)]  # the first finds an empty cell
    assert most_promising(proposals, archives) == 0
    assert most_promising(proposals, archives, all_round=True) == 1


def test_elites_of_one_score_leave_the_first_proposal() -> None:
    flat = {"one": TaskArchive("one", ["two"], [3], [(0.0, 1.0)])}
    flat["two"] = TaskArchive("two", ["one"], [3], [(0.0, 1.0)])
    for archive in flat.values():
        archive.add(Elite(0, model(1, 0), {"one": 0.5, "two": 0.5}, ()))
    assert most_promising([model(0, 1), model(1, 1)], flat) == 0
