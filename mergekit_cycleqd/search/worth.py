"""How good a score is: the score itself, or its place in its range where lower is better."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Values = TypeVar("Values", float, NDArray[np.float64])


@dataclass(frozen=True)
class Worth:
    """Makes scores comparable: of two, the higher worth is the better, on every task.

    A score that is better when higher is its own worth. One that is better when lower has the worth
    1 at the lowest value of its task's range, and 0 at the highest, in a straight line that goes on
    beyond both. So a perplexity of 20 and a share of 0.5 can be summed.

    Attributes:
        ranges: Lowest and highest value of each task whose scores are better when lower.
    """

    ranges: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def of(self, task: str, score: Values) -> Values:
        """The worth of a score, or of an array of them.

        Args:
            task: The score's task.
            score: In the unit of the task.
        """
        if task not in self.ranges:
            return score
        low, high = self.ranges[task]
        return (high - score) / (high - low)

    def total(self, scores: Mapping[str, float]) -> float:
        """The sum of the worths of a model's scores, exact in any order of the tasks."""
        return math.fsum(self.of(task, score) for task, score in scores.items())

    def highest(self, task: str, bounds: tuple[float, float]) -> float:
        """The best worth that a score can have.

        Args:
            task: The score's task.
            bounds: Its lowest and highest possible value.
        """
        return self.of(task, bounds[0] if task in self.ranges else bounds[1])

    def is_lower(self, task: str) -> bool:
        """Whether scores of a task are better when lower."""
        return task in self.ranges
