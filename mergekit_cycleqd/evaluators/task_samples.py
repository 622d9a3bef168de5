"""What all evaluators share: the samples of each task, and the collection of tasks' faults."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from mergekit_cycleqd.errors import RecipeError, reason
from mergekit_cycleqd.evaluators.base import Harness, Positions
from mergekit_cycleqd.evaluators.task_errors import RAISED
from mergekit_cycleqd.recipe.sample_ids import SPLITS, SampleIds, Split
from mergekit_cycleqd.recipe.tasks import Task
from mergekit_cycleqd.run_folder.asked_samples import AskedSamples


class TaskFault(Exception):
    """A fault after which a task cannot be prepared further, as ``key: what is wrong``."""


def prepare_all(
    tasks: Sequence[Task], prepare: Callable[[Task], Iterable[str]], others: Sequence[str] = ()
) -> None:
    """Prepare every task, and report the faults of all tasks together.

    Args:
        tasks: The tasks, in the order of the recipe.
        prepare: Prepares a task. It gives its faults as ``key: what is wrong``, and may raise
            TaskFault.
        others: Lines of other faults, which are reported too.

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
        except RAISED as error:  # the user's code may raise anything
            faults.append(f"tasks[{i}].task: {task.task!r} cannot be prepared ({reason(error)})")
    if faults := [*faults, *others]:
        raise RecipeError(faults)


class TaskSamples:
    """The samples of each task, by split and by repeat."""

    def __init__(self) -> None:
        """Start without tasks; `add` adds them."""
        self._first: dict[Split, dict[str, list[int]]] = {"search": {}, "holdout": {}}
        self._again: dict[str, list[list[int]]] = {}
        self._fit: dict[str, list[int]] = {}

    def add(self, task: Task, resolve: Callable[[SampleIds], list[int]]) -> Iterator[str]:
        """Look up and keep the samples of a task.

        Args:
            task: A task of the recipe.
            resolve: Turns sample ids into numbers. Its ValueError says what is wrong with them.

        Returns:
            The faults, each as ``key: what is wrong``.
        """
        for split in SPLITS:
            ids = task.samples.search if split == "search" else task.samples.holdout
            if ids is None:
                continue
            try:
                self._first[split][task.name] = resolve(ids)
            except ValueError as error:
                yield f"samples.{split}: {error}"
        if task.samples.fit is not None and task.name in self._first["search"]:
            try:
                self._part(task.name, task.samples.fit, resolve)
            except ValueError as error:
                yield f"samples.fit: {error}"
        searched = self._first["search"].get(task.name)
        if task.samples.again is not None and searched is not None:
            try:
                self._again[task.name] = repeat_blocks(resolve(task.samples.again), len(searched))
            except ValueError as error:
                yield f"samples.again: {error}"

    def _part(
        self, task: str, ids: SampleIds | str, resolve: Callable[[SampleIds], list[int]]
    ) -> None:
        """Look up the samples of a fit, or take them from those of the search."""
        if isinstance(ids, SampleIds):
            self._fit[task] = resolve(ids)
            return
        searched = self._first["search"][task]
        if len(searched) < 2:
            raise ValueError("half of search needs 2 samples or more there, got 1")
        half = len(searched) // 2
        self._fit[task], self._first["search"][task] = searched[:half], searched[half:]

    def fit(self, task: str) -> Sequence[int]:
        """Get the samples of a task that founders are fitted to; empty if there are none."""
        return self._fit.get(task, ())

    def tasks(self, split: Split) -> list[str]:
        """List the names of the tasks that have samples in a split."""
        return list(self._first[split])

    def sizes(self, split: Split) -> dict[str, int]:
        """Number of samples of each task in a split. Tasks without samples are left out."""
        return {name: len(ids) for name, ids in self._first[split].items()}

    def of(self, task: str, split: Split, repeat: int = 0) -> Sequence[int]:
        """Get the samples of one evaluation. The same samples are the same object.

        Args:
            task: Name of the task.
            split: A split in which the task has samples.
            repeat: 0 for a model's first evaluation; from 1 for later ones.
        """
        return evaluation_ids(self._first[split][task], self._again.get(task, ()), repeat)

    def chosen(self, split: Split, repeat: int, only: Positions | None) -> dict[str, Sequence[int]]:
        """Get the samples of one evaluation by task, or some of them; see `Harness.evaluate`."""
        tasks = self._first[split] if only is None else [t for t in self._first[split] if t in only]
        ids = {task: self.of(task, split, repeat) for task in tasks}
        if only is None:
            return ids
        return {task: [each[place] for place in only[task]] for task, each in ids.items()}

    @property
    def asked(self) -> AskedSamples:
        """The ids of all samples that models are scored on."""
        return AskedSamples(self._first, self._again)

    def used(self, task: str) -> set[int]:
        """Collect the numbers of all samples of a task that any evaluation uses."""
        found = [by_task[task] for by_task in self._first.values() if task in by_task]
        every = [*found, *self._again.get(task, ()), self.fit(task)]
        return {number for ids in every for number in ids}


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
        """Number of samples of each task in a split. Tasks without samples are left out."""
        return self._samples.sizes(split)

    def asked(self) -> AskedSamples:
        """The ids of the samples that models are asked."""
        return self._samples.asked

    def fit_sizes(self) -> dict[str, int]:
        """Number of samples of each task that founders are fitted to."""
        return {name: len(self._samples.fit(name)) for name in self._tasks}


def repeat_blocks(ids: Sequence[int], size: int) -> list[list[int]]:
    """Cut ids into blocks, which repeats use in turn. An incomplete last block is not used.

    Args:
        ids: All ids, ascending.
        size: Number of ids per block.

    Raises:
        ValueError: If there are fewer ids than one block needs.
    """
    if len(ids) < size:
        raise ValueError(f"needs at least as many ids as search has ({size}), got {len(ids)}")
    return [list(ids[start : start + size]) for start in range(0, len(ids) - size + 1, size)]


def evaluation_ids(
    first: Sequence[int], again: Sequence[Sequence[int]], repeat: int
) -> Sequence[int]:
    """Choose the samples of one evaluation.

    Args:
        first: The samples of a first evaluation.
        again: The blocks of samples for repeats; if empty, repeats use `first` too.
        repeat: 0 for a first evaluation; from 1 for later ones.
    """
    return again[(repeat - 1) % len(again)] if repeat and again else first
