"""What all harnesses have of their tasks: the samples of each, and lines about what is wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mergekit_cycleqd.errors import RecipeError
from mergekit_cycleqd.evaluators.base import Harness
from mergekit_cycleqd.recipe.sample_ids import SPLITS, SampleIds, Split
from mergekit_cycleqd.recipe.tasks import Task


class TaskFault(Exception):
    """A line about one task: the key within it, and what is wrong, so that it ends there."""


def prepare_all(
    tasks: Sequence[Task], prepare: Callable[[Task], Iterable[str]], besides: Sequence[str] = ()
) -> None:
    """Prepare every task, and tell the faults of all of them together.

    Args:
        tasks: Those of a recipe, in its order.
        prepare: Gives the faults of one, each as ``key: what is wrong``, and may raise a TaskFault.
        besides: Lines of other faults.

    Raises:
        RecipeError: With one line per fault, each with the path to its key.
    """
    faults: list[str] = []
    for i, task in enumerate(tasks):
        try:
            for fault in prepare(task):
                faults.append(f"tasks[{i}].{fault}")
        except TaskFault as last:
            faults.append(f"tasks[{i}].{last}")
    if faults := [*faults, *besides]:
        raise RecipeError(faults)


class TaskSamples:
    """Which samples of each task are used for what."""

    def __init__(self) -> None:
        """None yet."""
        self._first: dict[Split, dict[str, list[int]]] = {"search": {}, "holdout": {}}
        self._again: dict[str, list[list[int]]] = {}

    def add(self, task: Task, resolve: Callable[[SampleIds], list[int]]) -> Iterator[str]:
        """Look up the samples of a task.

        Args:
            task: Of the recipe.
            resolve: Gives the numbers of some ids; a ValueError says what is wrong with them.

        Returns:
            Faults, each with its key in the task.
        """
        for split in SPLITS:
            ids = task.samples.search if split == "search" else task.samples.holdout
            if ids is None:
                continue
            try:
                self._first[split][task.name] = resolve(ids)
            except ValueError as error:
                yield f"samples.{split}: {error}"
        searched = self._first["search"].get(task.name)
        if task.samples.again is not None and searched is not None:
            try:
                self._again[task.name] = blocks(resolve(task.samples.again), len(searched))
            except ValueError as error:
                yield f"samples.again: {error}"

    def tasks(self, split: Split) -> list[str]:
        """Names of the tasks that have samples in a split."""
        return list(self._first[split])

    def sizes(self, split: Split) -> dict[str, int]:
        """How many samples each task has in a split; tasks without any are left out."""
        return {name: len(ids) for name, ids in self._first[split].items()}

    def of(self, task: str, split: Split, repeat: int = 0) -> Sequence[int]:
        """The samples of one evaluation; the same object for the same ones.

        Args:
            task: Its name.
            split: One in which it has samples.
            repeat: 0 for a model's first evaluation.
        """
        return ids_of(self._first[split][task], self._again.get(task, ()), repeat)

    def used(self, task: str) -> set[int]:
        """All samples of a task that are in any use."""
        found = [each[task] for each in self._first.values() if task in each]
        return {number for ids in [*found, *self._again.get(task, ())] for number in ids}


class SampledHarness(Harness):
    """A harness that knows the samples of its tasks by their numbers."""

    def __init__(self, tasks: Sequence[Task]) -> None:
        """Take the tasks; a harness then prepares each and adds its samples.

        Args:
            tasks: Those of a recipe that it scores.
        """
        self._tasks = {task.name: task for task in tasks}
        self._samples = TaskSamples()

    def sizes(self, split: Split) -> dict[str, int]:
        """How many samples each task has in a split; tasks without any are left out."""
        return self._samples.sizes(split)


def blocks(ids: Sequence[int], size: int) -> list[list[int]]:
    """The ids that repeats take in turn, as many as the search has; what is left over is unused.

    Args:
        ids: All of them, ascending.
        size: How many each repeat takes.

    Raises:
        ValueError: If there are not enough for one.
    """
    if len(ids) < size:
        raise ValueError(f"needs at least as many ids as search has ({size}), got {len(ids)}")
    return [list(ids[start : start + size]) for start in range(0, len(ids) - size + 1, size)]


def ids_of(first: Sequence[int], again: Sequence[Sequence[int]], repeat: int) -> Sequence[int]:
    """The samples of one evaluation.

    Args:
        first: Those of a candidate's first evaluation.
        again: The task's blocks for later ones; without any they are on the first samples too.
        repeat: 0 for the first evaluation, and from 1 for later ones.
    """
    return again[(repeat - 1) % len(again)] if repeat and again else first
