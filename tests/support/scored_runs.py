"""Journals of real searches whose scores come from a formula over the genome."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.compared_models import compared_models
from mergekit_cycleqd.run_folder.journal_lines import encode
from mergekit_cycleqd.run_folder.journal_reading import FILE
from mergekit_cycleqd.run_folder.record import Record
from mergekit_cycleqd.search.cycleqd import CycleQD

TASKS = ("coding", "db", "os", "maths", "web")
SAMPLES = 200
EVIL = "<script>alert(1)</script> & \"quotes\" </script><!-- 'x'"


def run_recipe(tasks: Sequence[str], children: int, bins: int) -> Recipe:
    return Recipe.model_validate(
        {
            "base_model": "base",
            "experts": [{"model": f"expert-{task}", "task": task} for task in tasks],
            "tasks": [
                {
                    "name": task,
                    "task": task,
                    "metric": "acc,none",
                    "samples": {"search": f"0-{SAMPLES - 1}", "holdout": "200-399"},
                    "range": [0, 1],
                    "bins": bins,
                }
                for task in tasks
            ],
            "evolution": {"children": children},
        }
    )


def formula(genome: Genome, tasks: Sequence[str], seed: str, noise: float) -> dict[str, float]:
    """Shares of the samples: best near a weight of 0.8 for a task's expert, then shaken."""
    shake = random.Random(seed)
    found = {}
    for task, weight in zip(tasks, genome.weights, strict=True):
        share = 0.9 * math.exp(-4 * (weight - 0.8) ** 2) + shake.gauss(0, noise)
        found[task] = round(min(1.0, max(0.0, share)) * SAMPLES) / SAMPLES
    return found


def write_run(
    folder: Path,
    experts: int = 3,
    children: int = 60,
    *,
    bins: int = 10,
    noise: float = 0.05,
    stop_after: int | None = None,
    planned: int | None = None,
    spoilt: str | None = None,
) -> CycleQD:
    """Write the journal of a run.

    Args:
        folder: Made if need be.
        experts: How many.
        children: How many.
        bins: Of every axis.
        noise: By which scores are shaken.
        stop_after: So many children are told, and the run is in progress.
        planned: So many children the run was started with, before it went on with more.
        spoilt: The task whose scores are no shares of the samples.
    """
    tasks = TASKS[:experts]
    recipe = run_recipe(tasks, children, bins)
    header: dict[str, Any] = {
        "kind": "header",
        "version": 1,
        "recipe": recipe.model_dump(mode="json"),
        "fingerprints": {"base": "0" * 16},
        "versions": {"mergekit": "0.1.5", "torch": EVIL},
    }
    if planned is not None:
        header["recipe"]["evolution"]["children"] = planned
    folder.mkdir(parents=True, exist_ok=True)
    search = CycleQD(recipe)
    with (folder / FILE).open("wb") as stream:

        def keep(record: Record) -> None:
            stream.write(encode(record.to_json()))

        def score(genome: Genome, seed: str) -> dict[str, float]:
            scores = formula(genome, tasks, seed, noise)
            return {task: s / 3 if task == spoilt else s for task, s in scores.items()}

        def compare(genome: Genome, split: Split) -> None:
            scores = score(genome, f"{genome.id} {split}")
            keep(Record(genome, split, scores, seconds=2.5))

        stream.write(encode(header))
        for genome in (Genome.from_base(search.family), Genome.uniform(search.family)):
            compare(genome, "search")
        while not search.done and search.children_told != stop_after:
            candidate = search.ask()
            worker = f"gpu-{candidate.index % 2}"
            scores, error = score(candidate.genome, str(candidate.index)), None
            if candidate.index % 50 == 49:
                scores, error = None, EVIL
            seconds = 1 + candidate.index % 7 / 10
            told = Record(candidate.genome, "search", scores, candidate, error)
            keep(replace(told, seconds=seconds, worker=worker))
            search.tell(candidate, scores)
        if search.done:
            for genome in {genome.id: genome for _, genome in compared_models(search)}.values():
                compare(genome, "search")
                compare(genome, "holdout")
    return search
