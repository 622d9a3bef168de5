"""Write a model's scores in the Hub's formats: the card's `model-index`, and `.eval_results/`."""

from __future__ import annotations

from collections.abc import Mapping

import yaml
from huggingface_hub import EvalResult, EvalResultEntry, eval_result_entries_to_yaml

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.card.pipelines import public_name
from mergekit_cycleqd.hub.card.score_table import scores_of
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.comparison import count_note
from mergekit_cycleqd.run_folder.run_view import RunView


def reported_split(run: RunView, genome: Genome) -> Split:
    """Choose the split to report: holdout if scored, since the search chose by search samples."""
    return "holdout" if run.scores(genome, "holdout") else "search"


def model_index(run: RunView, genome: Genome, datasets: Mapping[str, str]) -> list[EvalResult]:
    """Make the entries of a card's `model-index`, one per task.

    Args:
        run: The run.
        genome: The model.
        datasets: Hub id of the dataset, by task; only tasks whose dataset the publisher named.
    """
    split = reported_split(run, genome)
    scores = scores_of(run, genome, split)
    kind = "image-segmentation" if run.recipe.engine.of_images else "text-generation"
    return [
        EvalResult(
            task_type=kind,
            dataset_type=datasets.get(task.name, public_name(task)),
            dataset_name=public_name(task),
            dataset_split=split,
            metric_type=(
                task.metric.partition(",")[0] if task.pass_at is None else f"pass@{task.pass_at}"
            ),
            metric_name=_note(run, split, task),
            metric_value=round(scores[task.name].value, 6),
        )
        for task in run.recipe.tasks
        if task.name in scores
    ]


def result_files(run: RunView, genome: Genome, datasets: Mapping[str, str]) -> dict[str, str]:
    """Write the files of `.eval_results/`, one per task in `datasets`.

    Args:
        run: The run.
        genome: The model.
        datasets: Hub id of the dataset, by task; only tasks whose dataset the publisher named.

    Returns:
        Text of each file, by its path in the repo.
    """
    split = reported_split(run, genome)
    scores = scores_of(run, genome, split)
    files = {}
    for task in run.recipe.tasks:
        if task.name in datasets and task.name in scores:
            entry = EvalResultEntry(
                dataset_id=datasets[task.name],
                task_id=public_name(task),
                value=round(scores[task.name].value, 6),
                notes=_note(run, split, task),
            )
            text = yaml.safe_dump(eval_result_entries_to_yaml([entry]), sort_keys=False)
            files[f".eval_results/{task.name}.yaml"] = text
    return files


def _note(run: RunView, split: Split, task: Task) -> str:
    note = count_note(run.counts[split].get(task.name), lower=task.minimised)
    return f"{task.metric_name} on {split} samples{note}"
