"""How one candidate is asked: a few questions first, and all only while that may be worth it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.search.early_stop import Bounds, CannotEnter, EntryThreshold, EntryThresholds
from mergekit_cycleqd.search.fidelity.expected import Expected
from mergekit_cycleqd.search.fidelity.likely import Likely, informed
from mergekit_cycleqd.search.fidelity.questions import Questions

DRAWS = 512
SURE = 0.8
"""Chance from which on all questions that are left are asked at once."""

Ask = Callable[[Mapping[str, Sequence[int]]], Mapping[str, NDArray[np.float64]]]
"""Gives what samples score, NaN for one without a score, for ascending positions by task."""


@dataclass(frozen=True)
class Asking:
    """What decides how far a candidate is asked. It depends on the search alone.

    Attributes:
        questions: All of them.
        expected: What is expected of the candidate's answers.
        order: Questions that may be asked one by one, the most telling first.
        first: How many of them are asked first. Each later step doubles the number.
        least: The chance of being kept below which the candidate is asked no further.
        thresholds: Scores that it must reach to enter an archive.
        best: The best all-round worth so far.
        likely: What the likelihoods of known answers tell, by task.
    """

    questions: Questions
    expected: Expected
    order: tuple[int, ...]
    first: int
    least: float
    thresholds: EntryThresholds
    best: float
    likely: Mapping[str, Likely] = field(default_factory=dict)

    def informed(self, finds: Mapping[str, NDArray[np.float64]]) -> Asking:
        """How the candidate is asked once it is known which answers it finds most likely.

        Args:
            finds: By task, as `likely.learn` has it.

        Raises:
            CannotEnter: If it is to be asked nothing.
        """
        if not self.likely:
            return self
        expected = informed(self.expected, self.questions, self.likely, finds)
        shares, allowed = self.questions.shares, self.questions.in_parts
        order = expected.most_telling(shares, allowed, len(self.order))
        found = replace(self, expected=expected, order=tuple(order), likely={})
        if found.chance({}) < self.least:
            raise CannotEnter(dict.fromkeys(self.questions.sizes, (0.0, 1.0)))
        return found

    def answers(self, ask: Ask) -> dict[str, NDArray[np.float64]]:
        """Ask, step by step.

        Args:
            ask: Lets the candidate answer some samples.

        Returns:
            What each sample scored, by task, of all tasks that are asked in parts.

        Raises:
            CannotEnter: If the chance became too small.
        """
        found = {task: np.full(n, np.nan) for task, n in self.questions.sizes.items()}
        done, total = 0, int(self.questions.in_parts.sum())
        left = self.questions.in_parts.copy()
        for count in self._steps(total):
            self._ask(ask, self.order[done:count], found, left)
            done = count
            if (chance := self.chance(found)) < self.least:
                seen = {t: each for t, each in found.items() if not np.isnan(each).all()}
                raise CannotEnter(self._bounds(found), seen)
            if chance >= SURE:
                break
        self._ask(ask, np.flatnonzero(left).tolist(), found, left)
        return found

    def _steps(self, total: int) -> list[int]:
        counts, count = [], self.first
        while count < total and count <= len(self.order):
            counts.append(count)
            count *= 2
        return counts

    def _ask(
        self,
        ask: Ask,
        questions: Sequence[int],
        found: dict[str, NDArray[np.float64]],
        left: NDArray[np.bool_],
    ) -> None:
        positions = self.questions.by_task(questions)
        for task, values in ask(positions).items():
            found[task][positions[task]] = values
        left[list(questions)] = False

    def chance(self, found: Mapping[str, NDArray[np.float64]]) -> float:
        """Chance that the candidate enters an archive, or is the best all-round model.

        An archive that spans what tasks report beside scores may take any: the chance is 1.

        Args:
            found: What is known of its samples' scores, by task, NaN for the others. Empty before
                anything was asked.
        """
        row = np.full(self.questions.in_parts.shape, np.nan)
        for task, values in found.items():
            row[self.questions.numbers(task, range(len(values)))] = values
        known = ~np.isnan(row)
        shares, answers = self.questions.shares, np.where(known, row, 0.0)
        means, covariance = self.expected.scores(shares, answers, known)
        values, vectors = np.linalg.eigh(covariance)
        root = vectors * np.sqrt(np.maximum(values, 0.0))
        drawn = self._possible(means + _normal(len(means)) @ root.T, shares, answers, known)
        kept = self._worths(drawn) > self.best
        for threshold in self.thresholds.archives:
            places = self._places(threshold, drawn)
            if places is None:
                return 1.0
            k = self.questions.tasks.index(threshold.task)
            kept |= threshold.held(places) < threshold.worth.of(threshold.task, drawn[:, k])
        return float(kept.mean())

    def _possible(
        self,
        drawn: NDArray[np.float64],
        shares: NDArray[np.float64],
        answers: NDArray[np.float64],
        known: NDArray[np.bool_],
    ) -> NDArray[np.float64]:
        """Draws of scores, moved to values that the answers allow."""
        low, parted = shares @ answers, self._is_parted
        high = low + shares @ ~known
        counts = self.questions.counts
        steps = low + np.rint((drawn - low) * counts) / counts
        return np.where(parted, np.clip(steps, low, high), drawn)

    @cached_property
    def _is_parted(self) -> NDArray[np.bool_]:
        return np.array([task in self.questions.sizes for task in self.questions.tasks])

    def _worths(self, drawn: NDArray[np.float64]) -> NDArray[np.float64]:
        worth = self.thresholds.archives[0].worth
        each = [worth.of(task, drawn[:, k]) for k, task in enumerate(self.questions.tasks)]
        found: NDArray[np.float64] = np.sum(each, axis=0)
        return found

    def _places(
        self, threshold: EntryThreshold, drawn: NDArray[np.float64]
    ) -> NDArray[np.float64] | None:
        """Draws of an archive's measures; None if one is neither a score nor known beforehand."""
        columns = dict(zip(self.questions.tasks, drawn.T, strict=True))
        columns |= {name: np.full(len(drawn), value) for name, value in threshold.known.items()}
        if not columns.keys() >= set(threshold.axes):
            return None
        return np.stack([columns[axis] for axis in threshold.axes], axis=-1)

    def _bounds(self, found: Mapping[str, NDArray[np.float64]]) -> Bounds:
        """What the score of each task that is asked in parts lies between."""

        def mean(values: NDArray[np.float64], unknown: float) -> float:
            return float(np.nan_to_num(values, nan=unknown).mean())

        return {task: (mean(values, 0.0), mean(values, 1.0)) for task, values in found.items()}

    def to_json(self) -> dict[str, Any]:
        """Write it as JSON values for another process."""
        return {
            "tasks": self.questions.tasks,
            "sizes": dict(self.questions.sizes),
            "expected": self.expected.to_json(),
            "order": self.order,
            "first": self.first,
            "least": self.least,
            "thresholds": self.thresholds.to_json(),
            "best": self.best,
            "likely": {task: asdict(told) for task, told in self.likely.items()},
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Asking:
        """Read what `to_json` wrote."""
        return cls(
            Questions(tuple(content["tasks"]), content["sizes"]),
            Expected.from_json(content["expected"]),
            tuple(content["order"]),
            content["first"],
            content["least"],
            EntryThresholds.from_json(content["thresholds"]),
            content["best"],
            {task: Likely(**told) for task, told in content["likely"].items()},
        )


def _normal(tasks: int) -> NDArray[np.float64]:
    """The same (DRAWS, tasks) draws for every candidate."""
    return np.random.Generator(np.random.Philox(0)).normal(size=(DRAWS, tasks))
