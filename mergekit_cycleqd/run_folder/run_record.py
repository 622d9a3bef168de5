"""A run as its folder tells it, without any model: what publishing starts from."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.hub.errors import HubError
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.run_folder.journal import Journal, read_header, read_recipe
from mergekit_cycleqd.run_folder.record import Split
from mergekit_cycleqd.run_folder.sample_counts import sample_counts
from mergekit_cycleqd.search.cycleqd import CycleQD, Scores, Told


@dataclass(frozen=True)
class RunRecord:
    """One run, replayed from its journal.

    Attributes:
        folder: The run folder.
        id: 12 hex digits of what it was started with.
        header: The first line of the journal.
        recipe: The run's recipe.
        search: The search as it is after all that it was told.
        told: Every candidate with its scores, by number.
        journal: Finds scores; is closed.
        sizes: Number of samples per split and task, where it is known.
    """

    folder: Path
    id: str
    header: Mapping[str, Any]
    recipe: Recipe
    search: CycleQD
    told: Mapping[int, Told]
    journal: Journal
    sizes: Mapping[Split, Mapping[str, int]]

    @classmethod
    def open(cls, folder: Path) -> RunRecord:
        """Read a run folder.

        Raises:
            HubError: If its experts were not all evaluated yet.
            JournalError: If it is none, or the journal is damaged, or the run is going on.
        """
        header = read_header(folder)
        recipe = read_recipe(folder)
        journal = Journal.open(folder, header)
        try:
            told = {item.candidate.index: item for item in journal.replay(recipe.family)}
        finally:
            journal.close()
        recipe = recipe.holding(max(told, default=0) + 1)
        search = CycleQD(recipe, told.values())
        if not search.archives_ready:
            raise HubError(
                f"{folder}: needs a run whose experts were evaluated, got {search.told_count} of "
                f"{len(search.tasks)}; run its recipe first"
            )
        sizes = sample_counts(folder, recipe)
        return cls(folder, _id(header), header, recipe, search, told, journal, sizes)

    def scores(self, genome: Genome, split: Split) -> Scores | None:
        """The scores of exactly this genome on a split, if it was evaluated."""
        return self.journal.scores(genome, split)


def _id(header: Mapping[str, Any]) -> str:
    """Of what makes the run what it is: settings and models, not where they lie."""
    recipe = header["recipe"]
    tasks = [
        {key: task.get(key) for key in ("name", "task", "metric", "samples", "bins", "range")}
        for task in recipe["tasks"]
    ]
    evolution = {key: value for key, value in recipe["evolution"].items() if key != "children"}
    models = list(header["fingerprints"].values())
    content = json.dumps([tasks, evolution, models], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()[:12]
