"""The model to take beside experts, in summary and terminal, on the samples that both answered."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run.ending import ending
from mergekit_cycleqd.run_folder.choice import model_to_take
from mergekit_cycleqd.run_folder.paired_models import PairedScores
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.run_folder.summary import summary
from mergekit_cycleqd.run_folder.verdict import verdict
from tests.support.sampled_runs import IDS, TASKS, right, sampled_recipe, write_sampled_run


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunView:
    return write_sampled_run(tmp_path_factory.mktemp("sampled"))


def paired(run: RunView) -> PairedScores:
    return PairedScores(run.search, run.scores, run.samples)


def text_of(run: RunView) -> str:
    return summary(run.search, run.scores, run.counts, run.samples)


def test_each_task_stands_beside_its_best_expert_with_the_samples_that_are_lost(
    run: RunView,
) -> None:
    taken = model_to_take(run.search, run.scores).genome
    found = paired(run).beside_experts(taken)
    assert [each.task for each in found] == list(TASKS)
    for each in found:
        holdout = [run.scores(Genome.from_expert(run.search.family, k), "holdout")
                   for k in range(3)]  # fmt: skip
        best = max(range(3), key=lambda k: (holdout[k] or {})[each.task])
        assert each.expert == TASKS[best]
        ours, theirs = right(taken, each.task, "holdout"), right(each.genome, each.task, "holdout")
        lost = [number for number, a, b in zip(IDS["holdout"], ours, theirs, strict=True) if a < b]
        assert list(each.lost) == lost
        gap = each.difference
        assert gap is not None and gap.lower == len(lost) and gap.samples == 60
        assert gap.value == pytest.approx(ours.mean() - theirs.mean())


def test_summary_and_terminal_say_it_in_words_and_in_a_table(run: RunView) -> None:
    text = text_of(run)
    assert "On the same holdout samples it is " in text and "than the best expert" in text
    assert "| coding | coding | " in text.partition("## The model to take beside experts")[2]
    console = Console(width=100, record=True, force_terminal=True)
    for part in ending(run.search, run.scores, run.counts, run.folder, console, run.samples):
        console.print(part)
    shown = console.export_text()
    assert "best.yaml beside the best expert of each task, on the same holdout samples" in shown


def test_models_of_equal_means_are_level(run: RunView, monkeypatch: pytest.MonkeyPatch) -> None:
    taken = model_to_take(run.search, run.scores).genome
    gap = paired(run).mean(taken, Genome.from_expert(run.search.family, 0))
    assert gap is not None
    monkeypatch.setattr(PairedScores, "mean", lambda *_: replace(gap, value=0.0))
    rivals = [("`aggregate.yaml`", Genome.from_base(run.search.family))]
    told = paired(run).in_words(taken, rivals)
    assert "it is level with `aggregate.yaml`" in told and "better" not in told


def test_a_run_that_keeps_no_scores_of_samples_has_the_summary_that_it_had(
    run: RunView, tmp_path: Path
) -> None:
    bare = write_sampled_run(tmp_path, kept=False)
    text = text_of(bare)
    assert "same holdout samples" not in text and "beside experts" not in text
    left = text_of(run).partition("## The model")[0].rpartition(" On the same")[0]
    assert text.startswith(left), "all else is the same"


def test_a_task_without_scores_of_samples_says_so(tmp_path: Path) -> None:
    run = write_sampled_run(tmp_path, told=("coding", "os"))
    text = text_of(run)
    assert "| db | db | – (its evaluator tells no scores of samples) | – | – | – |" in text
    assert "Means are not compared sample by sample (db: its evaluator tells no" in text
    assert "better than" not in text and "worse than" not in text


def test_a_score_that_is_no_mean_of_its_samples_is_not_compared(run: RunView) -> None:
    def halved(genome: Genome, split: Split) -> dict[str, float]:
        return {task: score / 2 for task, score in (run.scores(genome, split) or {}).items()}

    found = PairedScores(run.search, halved, run.samples).beside_experts(
        run.search.best_all_round().genome
    )
    assert {each.why_not for each in found} == {"its score is no mean of its samples'"}


def test_where_lower_is_better_the_samples_won_are_the_lower_ones(tmp_path: Path) -> None:
    def wrong(genome: Genome, task: str, split: Split) -> SampleScores:
        found = right(genome, task, split)
        return np.asarray(1 - found if task == "db" else found)

    run = write_sampled_run(tmp_path, sampled_recipe(db={"maximize": False}), wrong)
    taken = model_to_take(run.search, run.scores).genome
    (db,) = [each for each in paired(run).beside_experts(taken) if each.task == "db"]
    assert db.difference is not None and len(db.lost) == db.difference.higher
    line = next(line for line in text_of(run).splitlines() if line.startswith("| db (lower is"))
    assert line.endswith(f"| {db.difference.lower} | {db.difference.higher} |")
    assert "better than" not in " ".join(verdict(run.search, run.scores, run.samples)), "no means"
