"""How many samples each score of a run rests on."""

from __future__ import annotations

import re
from pathlib import Path

from mergekit_cycleqd.recipe.founders import HALF
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split

SUMMARY = "summary.md"


def sample_counts(folder: Path, recipe: Recipe) -> dict[Split, dict[str, int]]:
    """Number of samples per split and task, where the recipe or the run's own summary tells it.

    Ids without an end (``200-``) need the task's size, which a run writes into its summary.

    Args:
        folder: The run folder.
        recipe: The run's recipe.
    """
    path = folder / SUMMARY
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    counts: dict[Split, dict[str, int]] = {"search": {}, "holdout": {}}
    for split in SPLITS:
        for task, count in re.findall(rf"([^\s|]+) \({split}, n=(\d+)[,)]", text):
            counts[split][task] = int(count)
    for task in recipe.tasks:
        for split, ids in (("search", task.samples.search), ("holdout", task.samples.holdout)):
            if ids is not None and (count := ids.count) is not None:
                parted = split == "search" and task.samples.fit == HALF
                counts[split][task.name] = count - count // 2 if parted else count
    return counts
