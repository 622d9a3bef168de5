"""The axis of a task's score: its range, and how many cells its samples can fill."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field, WrapValidator

from mergekit_cycleqd.recipe.section import LARGEST

if TYPE_CHECKING:
    from mergekit_cycleqd.recipe.tasks import Task

DEFAULT_BINS = 15
"""Cells along an axis, as in the paper; the most that `bins: auto` takes."""

BOUNDED = frozenset({"acc", "acc_norm", "acc_bytes", "exact_match"})
"""Metrics of lm-eval that lie between 0 and 1 for every sample."""


def _bounds(value: Any) -> Any:
    if value == "auto":
        return value
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError(f"must be auto or [lowest, highest], got {value!r}")
    if not all(isinstance(v, int | float) and abs(v) <= LARGEST for v in value):
        raise ValueError("must hold two finite numbers")
    if value[0] >= value[1]:
        raise ValueError(f"is empty: {value[0]} is not below {value[1]}")
    return tuple(float(v) for v in value)


Count = Annotated[int, Field(ge=1, le=1000)]


def _or_auto(value: Any, check: Any) -> Any:
    if value == "auto":
        return value
    if isinstance(value, str) and not value.strip().isdigit():
        raise ValueError(f"must be auto or a whole number, got {value!r}")
    return check(value)


if TYPE_CHECKING:
    Bins = int | Literal["auto"]
else:
    # No union, whose faults are a line for each kind.
    Bins = Annotated[Count, WrapValidator(_or_auto)]
Range = Annotated[Literal["auto"] | tuple[float, float], BeforeValidator(_bounds)]


def fillable_bins(task: Task, samples: int) -> int | None:
    """How many cells of a task's axis its scores can lie in at most.

    Args:
        task: A task of the recipe.
        samples: How many samples a score rests on.

    Returns:
        One more than the number of answers, less those beyond a given range that share its outer
        cells. None for a metric that is more than right or wrong for each sample.
    """
    if task.metric.partition(",")[0] not in BOUNDED:
        return None
    count = samples * task.repeats
    if task.range == "auto":
        return count + 1
    low, high = task.range
    inside = math.floor(min(high, 1.0) * count + 1e-9) - math.ceil(max(low, 0.0) * count - 1e-9) + 1
    beyond = (low * count > 1e-9) + (high * count < count - 1e-9)
    return max(0, inside) + beyond


def bins_of(task: Task, samples: int | None = None) -> int:
    """Cells along the axis of a task's score.

    Args:
        task: A task of the recipe.
        samples: How many samples a score rests on; None to take it from the recipe's ids.
    """
    if task.bins != "auto":
        return task.bins
    count = task.samples.search.count if samples is None else samples
    most = None if count is None else fillable_bins(task, count)
    return DEFAULT_BINS if most is None else max(1, min(DEFAULT_BINS, most))
