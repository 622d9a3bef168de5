"""Combine evaluators, for a recipe whose tasks name several of them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.evaluators.base import Harness, OwnAnswers, Positions, Scored, TaskNote
from mergekit_cycleqd.recipe.engine import Engine
from mergekit_cycleqd.recipe.sample_ids import SPLITS, Split
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples
from mergekit_cycleqd.run_folder.example_answers import Answer, SampleChoice
from mergekit_cycleqd.run_folder.example_masks import Example
from mergekit_cycleqd.search.early_stop import EntryThresholds

if TYPE_CHECKING:
    from mergekit_cycleqd.evaluators.likely_answers import LikelyAnswers


class CombinedHarness(Harness):
    """Several harnesses as one. Each scores its own tasks."""

    def __init__(self, parts: Sequence[Harness], names: Sequence[str]) -> None:
        """Combine harnesses.

        Args:
            parts: The harnesses.
            names: Names of all their tasks, in the order of the recipe.
        """
        self._parts = tuple(parts)
        self._names = tuple(names)
        self.illustrated = any(part.illustrated for part in parts)
        self.conversing = any(part.conversing for part in parts)
        self.warnings = tuple(warning for part in parts for warning in part.warnings)
        self.steady = frozenset[str]().union(*(part.steady for part in parts))
        self.lower = frozenset[str]().union(*(part.lower for part in parts))
        self.higher = frozenset[str]().union(*(part.higher for part in parts))

    def sizes(self, split: Split) -> dict[str, int]:
        """Number of samples of each task in a split. Tasks without samples are left out."""
        sizes = {name: size for part in self._parts for name, size in part.sizes(split).items()}
        return {name: sizes[name] for name in self._names if name in sizes}

    def evaluate(
        self,
        model: Any,
        split: Split,
        thresholds: EntryThresholds | None = None,
        repeat: int = 0,
        only: Positions | None = None,
    ) -> Scored:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        The thresholds are checked after each harness.
        """
        scores: dict[str, float] = {}
        samples: dict[str, NDArray[np.float64]] = {}
        for part in self._parts:
            found = part.evaluate(model, split, repeat=repeat, only=only)
            scores |= found
            samples |= found.samples
            if thresholds is not None:
                thresholds.check(
                    {
                        name: (scores.get(name, -math.inf), scores.get(name, math.inf))
                        for name in self._names
                    }
                )
        ordered = {name: scores[name] for name in self._names if name in scores} | scores
        return Scored(ordered, {n: samples[n] for n in self._names if n in samples})

    def asked(self) -> AskedSamples:
        """The ids of the samples of all harnesses."""
        parts = [part.asked() for part in self._parts]
        first: dict[Split, dict[str, Sequence[int]]] = {}
        for split in SPLITS:
            found = {task: ids for p in parts for task, ids in p.first.get(split, {}).items()}
            first[split] = {name: found[name] for name in self._names if name in found}
        again = {task: blocks for part in parts for task, blocks in part.again.items()}
        return AskedSamples(first, {name: again[name] for name in self._names if name in again})

    def base_fault(self, task: str, engine: Engine, base: Checkpoint) -> str:
        """Ask the harness that has the task: see `Harness.base_fault`."""
        return self._part(task).base_fault(task, engine, base)

    def _part(self, task: str) -> Harness:
        (part,) = (part for part in self._parts if task in part.sizes("search"))
        return part

    def fit_fault(self, task: str) -> str:
        """Ask the harness that has the task: see `Harness.fit_fault`."""
        return self._part(task).fit_fault(task)

    def fit_sizes(self) -> dict[str, int]:
        """Number of samples of each task that founders are fitted to."""
        return {name: size for part in self._parts for name, size in part.fit_sizes().items()}

    def own_answers(self, model: Any, task: str, *, fitted: bool) -> OwnAnswers:
        """Let the harness that has the task ask the model: see `Harness.own_answers`."""
        return self._part(task).own_answers(model, task, fitted=fitted)

    def likely_answers(self, model: Any, task: str) -> LikelyAnswers | None:
        """Ask the harness that has the task: see `Harness.likely_answers`."""
        return self._part(task).likely_answers(model, task)

    def changes(self) -> list[TaskNote]:
        """List what runs of the first rules scored otherwise."""
        return [change for part in self._parts for change in part.changes()]

    def prompts(self) -> dict[str, dict[str, Any]]:
        """Tell per task the settings that prompts are made with."""
        found = {name: each for part in self._parts for name, each in part.prompts().items()}
        return {name: found[name] for name in self._names if name in found}

    def examples(self, model: Any) -> list[Example]:
        """Collect the examples of all harnesses."""
        return [example for part in self._parts for example in part.examples(model)]

    def answers(self, model: Any, ids: SampleChoice) -> list[Answer]:
        """Collect the answers of all harnesses."""
        found = []
        for part in self._parts:
            own = {task: ids[task] for task in part.sizes("search") if task in ids}
            found += part.answers(model, own) if own or not ids else []
        return found
