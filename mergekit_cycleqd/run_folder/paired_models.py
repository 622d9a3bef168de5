"""The model to take beside experts and others, question by question, on holdout samples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.compared_models import NamedGenomes, originals
from mergekit_cycleqd.run_folder.comparison import FindScores, count_note
from mergekit_cycleqd.run_folder.paired import METHODS, Difference, difference, mean_difference
from mergekit_cycleqd.run_folder.sample_results import SampleResults, is_mean
from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.search.cycleqd import CycleQD
from mergekit_cycleqd.system.units import listed

SPLIT: Split = "holdout"
"""Models are chosen on search samples, so a difference there would be too good."""


@dataclass(frozen=True)
class Beside:
    """A model beside the expert that is best at a task.

    Attributes:
        task: The task.
        expert: The expert's name.
        genome: The expert.
        difference: How much the model scores above it; None where that cannot be told.
        lost: Ids of the samples on which the expert does better, the widest gap first.
        why_not: Why there is no difference; empty if there is one.
    """

    task: str
    expert: str
    genome: Genome
    difference: Difference | None
    lost: tuple[int, ...] = ()
    why_not: str = ""


@dataclass(frozen=True)
class PairedScores:
    """Scores of a run's models, and of each sample.

    Attributes:
        search: The search, after its experts were told.
        find: Looks up the scores of a genome on a split.
        samples: What each sample scored.
    """

    search: CycleQD
    find: FindScores
    samples: SampleResults

    @property
    def known(self) -> bool:
        """Whether the run keeps scores of samples at all, and has holdout samples."""
        asked = self.samples.asked
        return asked is not None and bool(asked.first.get(SPLIT))

    def beside_experts(self, genome: Genome) -> list[Beside]:
        """Put a model beside the best expert of each task; tasks without scores are left out."""
        found = []
        for task in self.search.tasks:
            rival = self._best_expert(task)
            if rival is None or rival[1].id == genome.id:
                continue
            name, expert = rival
            pair = self._pair(task, genome, expert)
            if isinstance(pair, str):
                found.append(Beside(task, name, expert, None, why_not=pair))
                continue
            found.append(
                Beside(task, name, expert, difference(*pair), tuple(self._lost(task, *pair)))
            )
        return found

    def mean(self, genome: Genome, other: Genome) -> Difference | None:
        """How much the mean over all tasks of one model is above another's.

        None where lower scores are better on a task, or scores of samples are not known.
        """
        if self.search.recipe.minimised:
            return None
        pairs = [self._pair(task, genome, other) for task in self.search.tasks]
        whole = [pair for pair in pairs if not isinstance(pair, str)]
        return mean_difference(whole) if len(whole) == len(pairs) else None

    def in_words(self, genome: Genome, rivals: NamedGenomes) -> str:
        """Say how a model compares with others on the mean over all tasks; empty if not known.

        Args:
            genome: The model.
            rivals: The others, each with its name.
        """
        clear: list[str] = []
        level: list[str] = []
        even: list[str] = []
        for name, rival in rivals:
            found = None if rival.id == genome.id else self.mean(genome, rival)
            if found is None:
                continue
            if found.word == "level":
                even.append(name)
                continue
            told = f"{found.word} than {name} by {found.by()}"
            (clear if found.is_told else level).append(told)
        parts = [f"it is {listed(clear)}"] if clear else []
        if level:
            parts.append(f"it is {listed(level)}, which may be chance")
        if even:
            parts.append(f"it is level with {listed(even)}")
        if not parts and (reasons := self.why_not()):
            said = "; ".join(f"{task}: {why}" for task, why in reasons.items())
            return f"Means are not compared sample by sample ({said})."
        return f"On the same {SPLIT} samples {'; '.join(parts)}." if parts else ""

    def why_not(self) -> dict[str, str]:
        """Why scores of samples cannot be compared, by task, of the tasks where they cannot."""
        if not self.known:
            return {}
        base = Genome.from_base(self.search.family)
        told = {t: self._values(t, base) for t in self.find(base, SPLIT) or {}}
        return {task: each for task, each in told.items() if isinstance(each, str)}

    def _best_expert(self, task: str) -> tuple[str, Genome] | None:
        sign = -1 if task in self.search.recipe.minimised else 1
        scored = [
            (sign * scores[task], name.removeprefix("expert: "), genome)
            for name, genome in originals(self.search)[1:-1]
            if task in (scores := self.find(genome, SPLIT) or {})
        ]
        return max(scored, key=lambda each: each[0])[1:] if scored else None

    def _pair(
        self, task: str, genome: Genome, other: Genome
    ) -> tuple[SampleScores, SampleScores] | str:
        first, second = self._values(task, genome), self._values(task, other)
        if isinstance(first, str):
            return first
        return second if isinstance(second, str) else (first, second)

    def _values(self, task: str, genome: Genome) -> SampleScores | str:
        """What each sample of a model scored, or why that cannot be compared."""
        scores = self.find(genome, SPLIT) or {}
        if task not in scores:
            return "it was not evaluated"
        values = self.samples.of(genome.id, SPLIT).get(task)
        if values is None:
            return "its evaluator tells no scores of samples"
        if not is_mean(values, scores[task]):
            return "its score is no mean of its samples'"
        return values

    def _lost(self, task: str, first: SampleScores, second: SampleScores) -> list[int]:
        assert self.samples.asked is not None
        gap = second - first if task not in self.search.recipe.minimised else first - second
        places = np.flatnonzero(np.nan_to_num(gap) > 0)
        ids = self.samples.asked.of(task, SPLIT)
        return [ids[i] for i in sorted(places.tolist(), key=lambda i: (-gap[i], i))]


HEAD = ("task", "its best expert", "difference", "p", "samples won", "samples lost")


def beside_rows(search: CycleQD, found: Sequence[Beside]) -> list[list[str]]:
    """The rows of a table of `PairedScores.beside_experts`, under `HEAD`."""
    lower = search.recipe.minimised
    rows = []
    for each in found:
        gap = each.difference
        row = [each.task + count_note(None, lower=each.task in lower), each.expert]
        if gap is None:
            rows.append([*row, f"– ({each.why_not})", "–", "–", "–"])
            continue
        counts = [gap.lower, gap.higher] if each.task in lower else [gap.higher, gap.lower]
        rows.append([*row, str(gap), gap.chance, *map(str, counts)])
    return rows


def methods() -> str:
    """Say how the intervals and tests of such a table are made."""
    return f"Both models answer the same {SPLIT} samples, sample by sample. {METHODS}"
