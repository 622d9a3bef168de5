"""A run as its folder tells it, without any model, and without touching it: it may be going on."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.fit_record import FitRecord, searched
from mergekit_cycleqd.run_folder.journal_reading import (
    FILE,
    asked_in,
    candidates_in,
    read_header,
    read_recipe,
    read_records,
)
from mergekit_cycleqd.run_folder.means import Means
from mergekit_cycleqd.run_folder.record import Record, Status
from mergekit_cycleqd.run_folder.resume_check import LENGTH, of_first_rules
from mergekit_cycleqd.run_folder.sample_counts import sample_counts
from mergekit_cycleqd.run_folder.sample_results import SampleResults
from mergekit_cycleqd.run_folder.spent import Spent, end_if_spent
from mergekit_cycleqd.search.candidate import Candidate, Outcome
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.search.scores import Scores, mean_scores, scores_by_candidate


@dataclass(frozen=True, slots=True)
class Evaluation:
    """A line of the journal without its genome, which takes kilobytes.

    Attributes:
        index: Number of the candidate; None for a model that is only compared.
        task: The candidate's task; empty for a model that is only compared.
        parents: Numbers of the candidates that it was bred from.
        split: Which samples it was evaluated on.
        status: What came of it.
        scores: A number per task; None where the evaluation failed or was stopped.
        error: Why it failed.
        seconds: Wall time of the evaluation.
        worker: Which worker did it.
        again: Number of the candidate that it evaluates once more; None for a first evaluation.
    """

    index: int | None
    task: str
    parents: tuple[int, ...]
    split: Split
    status: Status
    scores: Scores | None
    error: str | None
    seconds: float
    worker: str
    again: int | None = None


@dataclass(frozen=True)
class RunView:
    """One run, replayed from its journal: what reports and publications are made of.

    Attributes:
        folder: The run folder.
        header: The first line of the journal.
        recipe: The run's recipe, with as many children as the journal holds if those are more.
        search: The search as it is after all that it was told.
        evaluations: Every line of the journal, in its order.
        found: Scores by genome id and split; means where elites were evaluated again.
        counts: Number of samples per split and task, where it is known.
        samples: What each sample scored, of a run that keeps it.
    """

    folder: Path
    header: Mapping[str, Any]
    recipe: Recipe
    search: CycleQD
    evaluations: tuple[Evaluation, ...]
    found: Mapping[tuple[str, Split], Scores]
    counts: Mapping[Split, Mapping[str, int]]
    samples: SampleResults = field(default_factory=SampleResults)

    @classmethod
    def read(cls, folder: Path) -> RunView:
        """Read a run folder, whether or not a run is going on in it.

        A last line that is being written, or that a crash tore, is left out.

        Raises:
            JournalError: If there is no run, or its journal is damaged.
            SearchError: If the journal does not fit its recipe.
        """
        header = read_header(folder)
        recipe = read_recipe(folder)
        evaluations: list[Evaluation] = []
        fits: list[FitRecord] = []
        means, samples, spent = Means(), SampleResults(asked_in(header, folder / FILE)), Spent()

        def told() -> Iterator[Outcome]:
            for record in read_records(folder / FILE, recipe.family, fits.append):
                evaluations.append(evaluation := _light(record))
                spent.add(record)
                again = evaluation.again is not None
                means.add(record.genome_id, record.split, record.scores, again=again)
                samples.add(record)
                if record.told is not None:
                    yield record.told

        recipe = recipe.holding(candidates_in(folder / FILE))
        search = searched(recipe, told(), fits)
        counts = sample_counts(folder, recipe)
        end_if_spent(search, spent, counts["search"])
        return cls(folder, header, recipe, search, tuple(evaluations), means, counts, samples)

    @property
    def id(self) -> str:
        """12 hex digits of what the run was started with: settings and models, not their places."""
        recipe = self.header["recipe"]
        tasks = [
            {key: task.get(key) for key in ("name", "task", "metric", "samples", "bins", "range")}
            for task in recipe["tasks"]
        ]
        evolution = {key: value for key, value in recipe["evolution"].items() if key not in LENGTH}
        models = list(self.header["fingerprints"].values())
        content = json.dumps([tasks, evolution, models], sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:12]

    @property
    def prompts(self) -> dict[str, dict[str, Any]]:
        """Per task, the settings that its prompts were made with; empty in older journals."""
        kept = self.header.get("prompts")
        found = kept.items() if isinstance(kept, Mapping) else ()
        return {task: dict(made) for task, made in found if isinstance(made, Mapping)}

    @cached_property
    def told(self) -> dict[int, Outcome]:
        """Every candidate with its genome and scores, by number.

        Read from the journal when it is first asked for, since genomes take kilobytes. Each is
        computed when it is looked at.
        """
        records = read_records(self.folder / FILE, self.recipe.family)
        told = (record.told for record in records)
        return {item.candidate.index: item for item in told if item is not None}

    @property
    def candidates(self) -> list[Evaluation]:
        """The candidates that the search was told, by number."""
        by_index = {e.index: e for e in self.evaluations if e.index is not None}
        return [by_index[i] for i in sorted(by_index) if by_index[i].scores or by_index[i].parents]

    @property
    def told_scores(self) -> dict[int, Scores]:
        """The scores of every candidate that has any; means where it was evaluated again."""
        told = ((e.index, e.again, e.scores) for e in self.candidates if e.index is not None)
        return {number: mean_scores(scores) for number, scores in scores_by_candidate(told).items()}

    @property
    def of_first_rules(self) -> bool:
        """Whether an early version began it, whose summaries and cards keep their bytes."""
        return of_first_rules(self.header)

    @property
    def finished(self) -> bool:
        """Whether every child that the recipe asks for was told, or the budget is spent."""
        return self.search.done

    @property
    def lack(self) -> str:
        """What the run lacks before its models can be looked at; empty if nothing."""
        if self.search.archives_ready:
            return ""
        return (
            f"{self.folder}: needs a run whose experts were evaluated, got "
            f"{self.search.told_count} of {self.search.experts}; run its recipe first"
        )

    def scores(self, genome: Genome, split: Split) -> Scores | None:
        """The scores of exactly this genome on a split, if it was evaluated."""
        return self.found.get((genome.id, split))


def _light(record: Record) -> Evaluation:
    candidate: Candidate | None = record.candidate
    return Evaluation(
        None if candidate is None else candidate.index,
        "" if candidate is None else candidate.task,
        () if candidate is None else candidate.parents,
        record.split,
        record.status,
        record.scores,
        record.error,
        record.seconds,
        record.worker,
        None if candidate is None else candidate.again,
    )
