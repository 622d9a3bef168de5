"""A task of a recipe as lm-eval's objects: one task, or the tasks of a group with their weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any, Literal

Order = Literal["share", "subtask"]


@dataclass(frozen=True)
class LoadedTask:
    """What lm-eval evaluates for one task of a recipe.

    The documents of a group are numbered through, so that any first ones of them are spread over
    its tasks: by their shares of the documents, or equally many of each task.

    Attributes:
        parts: lm-eval's task objects, by the key of their results.
        group: lm-eval's group; None for a task.
        order: How the documents of a group are numbered.
    """

    parts: Mapping[str, Any]
    group: Any = None
    order: Order = "share"

    @property
    def first(self) -> Any:
        """The first task object."""
        return next(iter(self.parts.values()))

    @property
    def documents(self) -> int:
        """Number of documents, of all parts together."""
        return sum(len(part.eval_docs) for part in self.parts.values())

    def numbers(self, ids: Sequence[int]) -> dict[str, list[int]]:
        """Find the documents of each part; a part without any is left out.

        Args:
            ids: Numbers of documents of the whole.
        """
        if self.group is None:
            return {key: list(ids) for key in self.parts}
        found: dict[str, list[int]] = {key: [] for key in self.parts}
        for key, number in self.places(ids):
            found[key].append(number)
        return {key: sorted(numbers) for key, numbers in found.items() if numbers}

    def places(self, ids: Sequence[int]) -> list[tuple[str, int]]:
        """Find the part that has each document, and its number there.

        Args:
            ids: Numbers of documents of the whole.
        """
        if self.group is None:
            (only,) = self.parts
            return [(only, number) for number in ids]
        sizes = {key: len(part.eval_docs) for key, part in self.parts.items()}
        places = [
            ((number + 0.5) / size if self.order == "share" else float(number), place, key, number)
            for place, (key, size) in enumerate(sizes.items())
            for number in range(size)
        ]
        places.sort()
        return [places[i][2:] for i in ids]

    def results(self, found: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
        """Take the results out of lm-eval's, for a group by its own aggregation and weights.

        Args:
            found: lm-eval's results by key.
        """
        if self.group is None:
            (key,) = self.parts
            return found[key]
        by_name = {part.task_name: found[k] for k, part in self.parts.items() if k in found}
        made: Mapping[str, Any] = self.group.aggregate(by_name)
        return made

    def metrics(self) -> list[str]:
        """List what it reports as far as its files tell, each as ``metric,filter``."""
        filters = list(
            dict.fromkeys(each.name for part in self.parts.values() for each in part._filters)
        )
        if self.group is not None:
            return [
                f"{each.metric},{name}"
                for each in self.group.aggregate_metric_list or ()
                for name in each.filter_list or filters
            ]
        return [f"{name},{each}" for name in self.first.aggregation() for each in filters]

    def higher_is_better(self, metric: str) -> bool | None:
        """Whether lm-eval says of a metric that higher is better, or lower; None if neither.

        Args:
            metric: As ``metric,filter``.
        """
        name = metric.partition(",")[0]
        said = {part.higher_is_better().get(name) for part in self.parts.values()}
        return False if False in said else (True if True in said else None)

    def fresh(self) -> LoadedTask:
        """Copy it, with objects that have no requests where these have none."""
        return replace(self, parts={key: copy(part) for key, part in self.parts.items()})
