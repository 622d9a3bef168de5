"""Teams of elites: greedy choice over what each sample scored, and what they cover."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.choice import Wish, choices, model_to_take
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.run_folder.team import LONGEST, Team, coverage, team
from tests.support.sampled_runs import TASKS, right, sampled_recipe, write_sampled_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return write_sampled_run(tmp_path_factory.mktemp("sampled"))


def of(run: RunView, size: int, wish: Wish | None = None) -> Team:
    return team(run.search, run.scores, run.samples, size, wish or Wish({}, {}, {}))


def elites_of(run: RunView) -> list[Genome]:
    found = choices(run.search, run.scores)
    return [choice.genome for choice in found if choice.number is not None]


def together(genomes: list[Genome], split: Split = "search") -> float:
    """By the formula itself: the share of samples that one of the models is right on."""
    return float(
        np.mean([np.max([right(g, task, split) for g in genomes], axis=0) for task in TASKS])
    )


def test_each_member_adds_the_most_and_the_first_is_the_model_to_take(run: RunView) -> None:
    found = of(run, 4).members
    elites = elites_of(run)
    assert found[0].choice == model_to_take(run.search, run.scores)
    for place, member in enumerate(found):
        before = [each.choice.genome for each in found[:place]]
        best = max(together([*before, genome]) for genome in elites)
        assert member.coverage == pytest.approx(best)
        assert together([*before, member.choice.genome]) == pytest.approx(best)
        assert np.mean(list(member.tasks.values())) == pytest.approx(best)
    covered = [member.coverage for member in found]
    assert covered == sorted(set(covered)), "each one adds something"


def test_a_pair_comes_near_the_best_of_all_pairs(run: RunView) -> None:
    elites = elites_of(run)
    best = max(together(list(pair)) for pair in itertools.combinations(elites, 2))
    assert of(run, 2).members[-1].coverage >= 0.95 * best


def test_holdout_is_told_of_members_that_were_scored_there(run: RunView) -> None:
    found = of(run, 6)
    held = [run.scores(each.choice.genome, "holdout") is not None for each in found.members]
    assert held[0] and not all(held), "or this shows nothing"
    known = held.index(False)
    for place, member in enumerate(found.members):
        genomes = [each.choice.genome for each in found.members[: place + 1]]
        expected = together(genomes, "holdout") if place < known else None
        told = float(np.mean(list(member.holdout.values()))) if member.holdout else None
        assert told == (None if expected is None else pytest.approx(expected))
    assert found.unscored[0] == found.members[known].choice


def test_experts_together_are_told_for_comparison(run: RunView) -> None:
    experts = [Genome.from_expert(run.search.family, k) for k in range(3)]
    words = of(run, 2).experts_in_words(())
    assert words == (
        f"all experts together: {together(experts):.3f} on search samples and "
        f"{together(experts, 'holdout'):.3f} on holdout samples"
    )
    assert of(run, 2).experts_in_words(("db",)) == ""


def test_weights_count_alike_in_every_mean(run: RunView) -> None:
    found = of(run, 2, Wish({"coding": 0.0, "db": 0.0, "os": 2.0}, {}, {}))
    assert found.members[0].coverage == pytest.approx(found.mean(found.members[0].tasks))
    assert found.mean(found.members[0].tasks) == found.members[0].tasks["os"]
    held = found.experts["holdout"]["os"]
    assert found.experts_in_words(()).endswith(f"{held:.3f} on holdout samples")
    assert held != pytest.approx(np.mean(list(found.experts["holdout"].values())))


def test_a_team_ends_where_nobody_adds_anything(run: RunView) -> None:
    found = of(run, 1000).members
    elites = elites_of(run)
    assert len(found) < len(elites)
    assert found[-1].coverage == pytest.approx(together(elites)), "all that there is to cover"
    assert len(of(run, LONGEST).members) <= LONGEST


def test_weights_and_limits_apply_to_members(run: RunView) -> None:
    alone = of(run, 3, Wish({"db": 0.0, "os": 0.0}, {}, {}))
    assert alone.members[0].coverage == max(
        choice.scores["coding"] for choice in choices(run.search, run.scores)
    )
    limit = alone.members[0].coverage - 0.1
    limited = of(run, 3, Wish({}, {"coding": limit}, {}))
    assert all(each.choice.scores["coding"] >= limit for each in limited.members)
    assert of(run, 3, Wish({}, {"coding": 2.0}, {})).members == []


def test_other_scores_cover_by_the_highest_of_each_sample_or_the_lowest(tmp_path: Path) -> None:
    def graded(genome: Genome, task: str, split: Split) -> SampleScores:
        found = right(genome, task, split) * 0.5 + 0.25 * genome.weights[0]
        return np.asarray(9 - found if task == "db" else found)

    run = write_sampled_run(
        tmp_path, sampled_recipe(db={"maximize": False, "range": [8, 9]}), graded
    )
    found = of(run, 3).members
    genomes = [each.choice.genome for each in found]
    for task, best in (("coding", np.max), ("db", np.min)):
        values = best([graded(g, task, "search") for g in genomes], axis=0)
        assert found[-1].tasks[task] == pytest.approx(values.mean(), abs=1e-3)
    assert found[-1].tasks["db"] <= found[0].tasks["db"], "lower is better"


def test_tasks_without_scores_of_samples_are_left_out(tmp_path: Path) -> None:
    run = write_sampled_run(tmp_path, told=("coding", "os"))
    found = of(run, 2)
    assert found.left_out == ("db",) and set(found.members[0].tasks) == {"coding", "os"}
    genomes = [each.choice.genome for each in found.members]
    assert coverage(genomes, run.search, run.samples, "search", ["db"]) == {}


def test_a_run_without_any_has_no_team(tmp_path: Path) -> None:
    run = write_sampled_run(tmp_path, told=())
    assert of(run, 2).members == [] and of(run, 2).left_out == TASKS
