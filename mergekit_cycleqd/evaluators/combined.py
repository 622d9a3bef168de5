"""The tasks of a recipe, each with what its evaluator names; several may stand in one run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.recipe.sample_ids import Split
from mergekit_cycleqd.run_folder.example_masks import Example
from mergekit_cycleqd.search.early_stop import EntryThresholds


class CombinedHarness(Harness):
    """Several harnesses as one; each scores its own tasks."""

    def __init__(self, parts: Sequence[Harness], names: Sequence[str]) -> None:
        """Put `parts` together.

        Args:
            parts: The harnesses.
            names: All their tasks, in the order of the recipe.
        """
        self._parts = tuple(parts)
        self._names = tuple(names)
        self.illustrated = any(part.illustrated for part in parts)
        self.steady = frozenset[str]().union(*(part.steady for part in parts))

    def sizes(self, split: Split) -> dict[str, int]:
        """How many samples each task has in a split; tasks without any are left out."""
        sizes = {name: size for part in self._parts for name, size in part.sizes(split).items()}
        return {name: sizes[name] for name in self._names if name in sizes}

    def evaluate(
        self, model: Any, split: Split, floors: EntryThresholds | None = None, repeat: int = 0
    ) -> dict[str, float]:
        """Score the model that an engine holds now: see `Harness.evaluate`.

        EntryThresholds are looked at after each of the harnesses.
        """
        scores: dict[str, float] = {}
        for part in self._parts:
            scores |= part.evaluate(model, split, repeat=repeat)
            if floors is not None:
                floors.check(
                    {
                        name: (scores.get(name, -math.inf), scores.get(name, math.inf))
                        for name in self._names
                    }
                )
        return {name: scores[name] for name in self._names if name in scores}

    def examples(self, model: Any) -> list[Example]:
        """Those of all parts."""
        return [example for part in self._parts for example in part.examples(model)]
