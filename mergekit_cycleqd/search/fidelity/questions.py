"""The questions of a run: the samples of its tasks in one row, each with its weight in a score."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Questions:
    """All samples of the tasks that are asked in parts, and each other task as one question.

    Attributes:
        tasks: Names of all tasks, in the order of the recipe.
        sizes: Number of samples of each task that is asked in parts: those whose score is the mean
            of its samples' scores, each between 0 and 1.
    """

    tasks: tuple[str, ...]
    sizes: Mapping[str, int]

    @cached_property
    def counts(self) -> NDArray[np.intp]:
        """(tasks,) numbers of questions."""
        return np.array([self.sizes.get(task, 1) for task in self.tasks])

    @cached_property
    def starts(self) -> NDArray[np.intp]:
        """(tasks,) the first question of each task."""
        return np.concatenate([[0], np.cumsum(self.counts)[:-1]])

    @cached_property
    def shares(self) -> NDArray[np.float64]:
        """(tasks, questions) weight of each question in each task's score."""
        found = np.zeros((len(self.tasks), int(self.counts.sum())))
        for k, (start, count) in enumerate(zip(self.starts, self.counts, strict=True)):
            found[k, start : start + count] = 1 / count
        return found

    @cached_property
    def in_parts(self) -> NDArray[np.bool_]:
        """(questions,) whether each is a sample, and not a whole task."""
        return np.repeat([task in self.sizes for task in self.tasks], self.counts)

    def row(
        self, samples: Mapping[str, NDArray[np.float64]], scores: Mapping[str, float]
    ) -> NDArray[np.float64]:
        """The answers of a model that was scored, (questions,); NaN for what has no score.

        Args:
            samples: What each sample scored, of the tasks that are asked in parts.
            scores: The score of each other task.
        """
        return np.concatenate(
            [samples[t] if t in self.sizes else [scores[t]] for t in self.tasks], dtype=np.float64
        )

    def by_task(self, questions: Sequence[int]) -> dict[str, list[int]]:
        """The samples that some questions are: ascending positions, by task."""
        places = np.searchsorted(self.starts, questions, side="right") - 1
        found: dict[str, list[int]] = {}
        for number, k in sorted(zip(questions, places, strict=True)):
            found.setdefault(self.tasks[k], []).append(int(number - self.starts[k]))
        return found

    def numbers(self, task: str, positions: Sequence[int]) -> NDArray[np.intp]:
        """The questions that samples of a task are."""
        found: NDArray[np.intp] = self.starts[self.tasks.index(task)] + np.asarray(positions)
        return found
