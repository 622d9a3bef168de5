"""Journals of real searches that keep what each sample scored, by a formula over the genome."""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.journal import Journal
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.run_folder.resume_check import RULES
from mergekit_cycleqd.run_folder.run_view import RunView
from mergekit_cycleqd.run_folder.sample_scores import SampleScores, pack
from mergekit_cycleqd.search.cycleqd import CycleQD

TASKS = ("coding", "db", "os")
IDS: dict[Split, range] = {"search": range(40), "holdout": range(40, 100)}


def sampled_recipe(children: int = 30, **tasks: Any) -> Recipe:
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": f"expert-{task}", "task": task} for task in TASKS],
            "tasks": [
                {
                    "name": task,
                    "task": task,
                    "metric": "acc,none",
                    "samples": {"search": "0-39", "holdout": "40-99"},
                    "range": [0, 1],
                    "bins": 6,
                    **tasks.get(task, {}),
                }
                for task in TASKS
            ],
            "evolution": {"children": children},
        }
    )


@cache
def _hardness(task: str, number: int) -> float:
    return random.Random(f"{task} {number}").random()


def right(genome: Genome, task: str, split: Split) -> SampleScores:
    """1 for each sample that the model's skill and luck suffice for; other experts disturb."""
    own = genome.weights[TASKS.index(task)]
    skill = 1 - abs(own - 0.8) - 0.1 * (sum(genome.weights) - own)
    luck = random.Random(f"{genome.id} {task} {split}")
    found = [skill + luck.gauss(0, 0.25) > _hardness(task, number) for number in IDS[split]]
    return np.array(found, float)


def write_sampled_run(
    folder: Path,
    recipe: Recipe | None = None,
    score: Callable[[Genome, str, Split], SampleScores] = right,
    *,
    told: tuple[str, ...] = TASKS,
    kept: bool = True,
) -> RunView:
    """Write the journal of a finished run, and read it.

    Args:
        folder: Made if need be.
        recipe: The run.
        score: What each sample of a model scores on a task.
        told: The tasks of which the journal has scores of samples.
        kept: Whether it keeps them at all.
    """
    recipe = recipe or sampled_recipe()
    asked = AskedSamples({split: {task: list(ids) for task in TASKS} for split, ids in IDS.items()})
    header = {
        "recipe": recipe.model_dump(mode="json"),
        "fingerprints": {"base": "0" * 16},
        "versions": {"mergekit": "0.1.5"},
        "rules": RULES,
        **({"samples": asked.written()} if kept else {}),
    }
    journal = Journal.open(folder, header)
    list(journal.replay(recipe.family))
    search = CycleQD(recipe)

    def keep(genome: Genome, split: Split, candidate: Any = None) -> dict[str, float]:
        values = {task: score(genome, task, split) for task in TASKS}
        scores = {task: float(found.mean()) for task, found in values.items()}
        samples = pack({task: values[task] for task in told})
        journal.append(Record(genome, split, scores, candidate, seconds=2.5, samples=samples))
        return scores

    for genome in (Genome.from_base(search.family), Genome.uniform(search.family)):
        keep(genome, "search")
    while not search.done:
        candidate = search.ask()
        search.tell(candidate, keep(candidate.genome, "search", candidate))
    for genome in {genome.id: genome for _, genome in compared_models(search)}.values():
        keep(genome, "search")
        keep(genome, "holdout")
    journal.close()
    return RunView.read(folder)
