"""What spans a task's archive: other tasks' scores, experts' weights, what the task reports."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_serializer, model_validator

from mergekit_cycleqd.errors import nearest
from mergekit_cycleqd.recipe.bins import DEFAULT_BINS, Count, Range, bins_of
from mergekit_cycleqd.recipe.section import Strict

if TYPE_CHECKING:
    from mergekit_cycleqd.recipe.recipe import Recipe

OUTPUT_LENGTH = "output_length"
"""A metric of every task whose answers are texts: how many characters they have in the mean."""

OTHER_TASKS, WEIGHTS = "tasks", "weights"
_WORDS, _TYPO = (OTHER_TASKS, WEIGHTS, OUTPUT_LENGTH), 0.75
WEIGHT_RANGE = (0.0, 1.5)
"""Weights of experts are 0 and 1, and mutation adds to them; 15 cells are 0.1 wide each."""


def reported_name(task: str, metric: str) -> str:
    """What a metric is called that a task reports beside its score, in journals too."""
    return f"{metric} of {task}"


class Measure(Strict):
    """One axis of a task's archive, or several: exactly one of the first three keys.

    `of: tasks` are the scores of all other tasks, and `of: weights` the weights of all experts.
    `task` is the score of one other task. `metric` is what the archive's own task reports beside
    its score. `bins` and `range` lay the axis out; a task's own count unless they are said here.
    """

    of: Literal["tasks", "weights"] | None = None
    task: str | None = None
    metric: str | None = Field(default=None, min_length=1)
    bins: Count | None = None
    range: Range | None = None

    @model_validator(mode="after")
    def _one_of_three(self) -> Measure:
        given = [key for key in ("of", "task", "metric") if getattr(self, key) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs one of of, task and metric, got {' and '.join(given) or 'none'}"
            )
        return self

    @model_serializer
    def _without_what_is_unsaid(self) -> dict[str, Any]:
        return {key: value for key, value in self.__dict__.items() if value is not None}


def _measure(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    if value not in _WORDS and (near := get_close_matches(value, _WORDS, n=1, cutoff=_TYPO)):
        raise ValueError(
            f"did you mean {near[0]}? A metric that is named so is written {{metric: {value}}}"
        )
    return {"of" if value in (OTHER_TASKS, WEIGHTS) else "metric": value}


AnyMeasure = Annotated[Measure, BeforeValidator(_measure)]


@dataclass(frozen=True, slots=True)
class MeasureAxis:
    """One axis of an archive.

    Attributes:
        name: What the axis is called; unique among all axes of a run.
        bins: Cells along it.
        range: Lowest and highest value, or `auto`.
        task: The task whose score it is; None for others.
        expert: Place of the expert whose weight it is; None for others.
        metric: Task and metric that is reported; None for others.
    """

    name: str
    bins: int
    range: Range
    task: str | None = None
    expert: int | None = None
    metric: tuple[str, str] | None = None


def axes_of(recipe: Recipe, name: str) -> tuple[MeasureAxis, ...]:
    """List the axes of a task's archive, in the recipe's order, each once.

    Without `measures` they are the scores of the other tasks, or with one task the weights.

    Args:
        recipe: The run.
        name: Of the task.
    """
    task = recipe.tasks[recipe.task_names.index(name)]
    default = OTHER_TASKS if len(recipe.tasks) > 1 else WEIGHTS
    found: dict[str, MeasureAxis] = {}
    for measure in task.measures or (Measure.model_validate({"of": default}),):
        for axis in _axes(recipe, name, measure):
            found.setdefault(axis.name, axis)
    return tuple(found.values())


def _axes(recipe: Recipe, own: str, measure: Measure) -> list[MeasureAxis]:
    if measure.metric is not None:
        name = reported_name(own, measure.metric)
        bins, bounds = measure.bins or DEFAULT_BINS, measure.range or "auto"
        return [MeasureAxis(name, bins, bounds, metric=(own, measure.metric))]
    if measure.of == WEIGHTS:
        bounds = measure.range if isinstance(measure.range, tuple) else WEIGHT_RANGE
        bins = measure.bins or DEFAULT_BINS
        return [
            MeasureAxis(f"weight of {expert}", bins, bounds, expert=k)
            for k, expert in enumerate(recipe.expert_names)
        ]
    return [
        MeasureAxis(t.name, measure.bins or bins_of(t), measure.range or t.range, task=t.name)
        for t in recipe.tasks
        if (t.name == measure.task if measure.of is None else t.name != own)
    ]


def measure_faults(recipe: Recipe) -> Iterator[str]:
    """Measures that no archive can have, each as ``path.to.key: fault``."""
    names = recipe.task_names
    for i, task in enumerate(recipe.tasks):
        for j, measure in enumerate(task.measures or ()):
            where, others = f"tasks[{i}].measures[{j}]", [t for t in names if t != task.name]
            if measure.of == OTHER_TASKS and not others:
                yield f"{where}: there is no other task; take weights, or a metric of this task"
            elif measure.task == task.name:
                yield f"{where}.task: {task.name!r} is the archive's own task, its quality"
            elif measure.task is not None and measure.task not in names:
                near = nearest(measure.task, names)
                yield f"{where}.task: no task is named {measure.task!r}{near}"
            elif measure.metric == task.metric:
                yield f"{where}.metric: {task.metric!r} is the quality of this archive already"
            elif measure.metric in names:
                yield f"{where}: {measure.metric!r} is a task; write {{task: {measure.metric}}}"
