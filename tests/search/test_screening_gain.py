"""What a proposal is expected to gain, and in which units."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.operators import mutate
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.search import screening
from mergekit_cycleqd.search.archive import Elite, TaskArchive
from mergekit_cycleqd.search.screening import most_promising

FAMILY = Family("base", ("a", "b"))
Plan = list[list[tuple[float, float]]]


def model(*weights: float) -> Genome:
    return Genome(FAMILY, weights)


def filled(*scores: tuple[float, float], top: float = 1.0) -> dict[str, TaskArchive]:
    """Archives of four cells on [0, 1] of `one` and [0, top] of `two`."""
    archives = {
        "one": TaskArchive("one", ["two"], [4], [(0.0, top)]),
        "two": TaskArchive("two", ["one"], [4], [(0.0, 1.0)]),
    }
    for index, (one, two) in enumerate(scores):
        for archive in archives.values():
            archive.add(Elite(index, model(one, two), {"one": one, "two": two}, ()))
    return archives


def chosen(
    archives: dict[str, TaskArchive],
    outcomes: Plan,
    monkeypatch: pytest.MonkeyPatch,
    *,
    all_round: bool = False,
) -> int:
    """The choice, where each proposal will have one of these scores, as likely as each other."""
    drawn: NDArray[np.float64] = np.array(outcomes).transpose(1, 0, 2)
    monkeypatch.setattr(screening, "_predict_scores", lambda *_: drawn)
    proposals = [model(k, k) for k in range(len(outcomes))]
    return most_promising(proposals, archives, all_round=all_round)


def test_a_gain_is_in_units_of_the_elites_range(monkeypatch: pytest.MonkeyPatch) -> None:
    """0.3 of a range of 0.8 is more than 20 of a range of 80."""
    archives = filled((0.1, 90.0), (0.9, 10.0), top=100.0)
    better_one, better_two = [(0.4, 80.0)], [(0.6, 30.0)]
    assert chosen(archives, [better_one, better_two], monkeypatch) == 0
    assert chosen(archives, [better_two, better_one], monkeypatch) == 1
    much_better_two = [(0.6, 75.0)]
    assert chosen(archives, [better_one, much_better_two], monkeypatch) == 1


def test_a_filled_cell_gains_what_is_above_its_elite(monkeypatch: pytest.MonkeyPatch) -> None:
    archives = filled((0.1, 0.9), (0.6, 0.6), (0.9, 0.1))
    small, large = [(0.65, 0.6)], [(0.6, 0.72)]
    assert chosen(archives, [small, large], monkeypatch) == 1
    worse, equal_but_for_a_hair = [(0.55, 0.55)], [(0.601, 0.6)]
    assert chosen(archives, [worse, equal_but_for_a_hair], monkeypatch) == 1


def test_an_empty_cell_gains_what_is_above_the_worst_elite(monkeypatch: pytest.MonkeyPatch) -> None:
    archives = filled((0.3, 0.9), (0.9, 0.3))
    in_empty_cells, better_in_filled_ones = [(0.6, 0.6)], [(0.32, 0.95)]
    assert chosen(archives, [better_in_filled_ones, in_empty_cells], monkeypatch) == 1
    below_all = [(0.2, 0.2)]
    assert chosen(archives, [below_all, [(0.3, 0.901)]], monkeypatch) == 1


def test_of_several_outcomes_the_mean_gain_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A loss is no gain below zero: the archives keep what they have."""
    archives = filled((0.1, 0.9), (0.9, 0.1))
    daring = [(0.6, 0.6), (0.1, 0.1)]
    safe = [(0.3, 0.3), (0.3, 0.3)]
    assert chosen(archives, [safe, daring], monkeypatch) == 1
    assert chosen(archives, [daring, [(0.5, 0.5), (0.5, 0.5)]], monkeypatch) == 1


def test_of_equals_the_first_is_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    archives = filled((0.1, 0.9), (0.9, 0.1))
    same = [(0.5, 0.5)]
    assert chosen(archives, [same, same, same], monkeypatch) == 0
    nothing = [(0.0, 0.0)]
    assert chosen(archives, [nothing, nothing], monkeypatch) == 0


def test_all_round_the_mean_in_units_of_the_ranges_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    archives = filled((0.1, 90.0), (0.9, 10.0), top=100.0)
    uneven, even = [(0.95, 40.0)], [(0.7, 75.0)]
    assert chosen(archives, [uneven, even], monkeypatch, all_round=True) == 1
    assert chosen(archives, [even, uneven], monkeypatch, all_round=True) == 0


def test_all_round_what_is_below_the_best_gains_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """One lucky outcome above the best elite counts more than many just below it."""
    archives = filled((0.1, 0.9), (0.9, 0.1), (0.55, 0.55))
    lucky, steady = [(0.7, 0.7), (0.0, 0.0)], [(0.54, 0.54), (0.54, 0.54)]
    assert chosen(archives, [steady, lucky], monkeypatch, all_round=True) == 1


def test_all_round_without_any_hope_the_archives_gain_counts(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archives = filled((0.1, 0.9), (0.9, 0.1), (0.9, 0.9))
    none, some = [(0.1, 0.1)], [(0.4, 0.4)]
    assert chosen(archives, [none, some], monkeypatch, all_round=True) == 1


def test_elites_of_equal_scores_count_in_plain_units(monkeypatch: pytest.MonkeyPatch) -> None:
    archives = filled((0.5, 0.5))
    assert chosen(archives, [[(0.5, 0.6)], [(0.9, 0.5)]], monkeypatch) == 1
    assert chosen(archives, [[(0.7, 0.7)], [(0.9, 0.8)]], monkeypatch, all_round=True) == 1


def test_where_there_are_many_elites_the_newest_are_looked_at(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    archives = filled((0.1, 0.9), (0.35, 0.7), (0.6, 0.6), (0.9, 0.1))
    assert [elite.index for elite in screening._elites_of_all(archives)] == [0, 1, 2, 3]
    monkeypatch.setattr(screening, "MOST", 2)
    assert [elite.index for elite in screening._elites_of_all(archives)] == [2, 3]


# ---- predictions ----

KNOWN = [model(x, y) for x in np.linspace(-1, 1, 6) for y in np.linspace(-1, 1, 6)]
SCORES = np.array(
    [
        [np.exp(-((x - 0.5) ** 2)), 50 * np.exp(-((y - 0.5) ** 2))]
        for x, y in (genome.weights for genome in KNOWN)
    ]
)


def outcomes(*proposals: Genome) -> NDArray[np.float64]:
    return screening._predict_scores(KNOWN, SCORES, proposals)


def test_predictions_are_near_what_is_known_and_wide_where_nothing_is() -> None:
    found = outcomes(KNOWN[8], KNOWN[21], model(5.0, 5.0))
    assert found.shape == (32, 3, 2)
    span = SCORES.max(axis=0) - SCORES.min(axis=0)
    for place, known in enumerate((8, 21)):
        assert np.abs(found[:, place].mean(axis=0) - SCORES[known]).max() < (0.05 * span).max()
        assert (np.abs(found[:, place].mean(axis=0) - SCORES[known]) < 0.05 * span).all()
    assert (found[:, 2].std(axis=0) > 5 * found[:, 0].std(axis=0)).all()


def test_predictions_stay_within_a_hundredth_of_the_elites_range() -> None:
    found = outcomes(*(model(x, -x) for x in np.linspace(-6, 6, 25)))
    lowest, highest = SCORES.min(axis=0), SCORES.max(axis=0)
    span = highest - lowest
    assert (found >= lowest - 0.01 * span).all() and (found <= highest + 0.01 * span).all()
    assert (found.min(axis=(0, 1)) < lowest).all() and (found.max(axis=(0, 1)) > highest).all()


def test_predictions_have_not_changed() -> None:
    """Golden: a run that goes on has to choose the children that it would have chosen before."""
    found = outcomes(model(0.3, 0.1), model(-2.0, 1.5)).mean(axis=0)
    assert found[0].tolist() == pytest.approx([0.9581105719902284, 41.49839346358689], rel=1e-4)
    assert found[1].tolist() == pytest.approx([0.2386398332900909, 25.628999808077545], rel=1e-4)


def test_the_same_proposal_has_the_same_predictions_among_any_others() -> None:
    alone = outcomes(model(0.3, 0.1))
    beside = outcomes(model(0.9, 0.9), model(0.3, 0.1))
    assert np.allclose(alone[:, 0], beside[:, 1])


def test_models_of_the_other_kind_say_less_of_a_proposal() -> None:
    singular = replace(FAMILY, task_vectors=TaskVectors("tsv", 0.5))
    plain, other = model(0.5, 0.25), Genome(singular, (0.5, 0.25))
    assert screening.coordinates([plain]).tolist() == [[0.5, 0.25, 0.0]]
    assert screening.coordinates([plain, other]).tolist() == [[0.5, 0.25, 0.0], [0.5, 0.25, 1.0]]
    third = Genome(replace(FAMILY, task_vectors=TaskVectors("wudi", 0.1)), (0.5, 0.25))
    apart = screening.coordinates([plain, other, third])[:, 2:]
    assert apart.tolist() == [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]
    spread = outcomes(model(0.3, 0.1), Genome(singular, (0.3, 0.1))).std(axis=0)
    assert (spread[1] > 2 * spread[0]).all()


def test_a_term_moves_a_genome_by_the_mean_of_its_draws() -> None:
    genome = mutate(mutate(model(0.5, 0.25), Term(0, 7, 0.5)), Term(0, 8, -0.1))
    assert screening.position(genome) == [pytest.approx(0.7), 0.25]
