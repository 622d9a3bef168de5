"""Means and differences with 95 % intervals, by Student's t; without pairs by Welch's."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

Values = npt.NDArray[np.float64]
LEVEL = 0.975


def interval(values: Sequence[float], digits: int) -> str:
    """Mean and 95 % interval of a sample; the mean alone of a single value."""
    return shown(*_of_one(np.array(values, dtype=float)), digits)


def shown(mean: float, half: float, digits: int) -> str:
    """A mean and half of its interval, as tables have them."""
    return f"{mean:.{digits}f}" + ("" if np.isnan(half) else f" ± {half:.{digits}f}")


def difference(theirs: Sequence[float], ours: Sequence[float], pairs: bool) -> tuple[float, float]:
    """How much more theirs is.

    Args:
        theirs: A value for each run.
        ours: The same of ours.
        pairs: Whether the values at one place belong together.

    Returns:
        The mean difference, and half of its 95 % interval: nan if there are too few values.
    """
    left, right = np.array(theirs, dtype=float), np.array(ours, dtype=float)
    return _of_one(left - right) if pairs else _of_two(left, right)


def times(theirs: Sequence[float], ours: Sequence[float], pairs: bool) -> str:
    """How many times as much theirs is: the geometric mean and its 95 % interval."""
    mean, half = difference(np.log(theirs).tolist(), np.log(ours).tolist(), pairs)
    if np.isnan(half):
        return f"{np.exp(mean):.2f}"
    return f"{np.exp(mean):.2f} [{np.exp(mean - half):.2f}, {np.exp(mean + half):.2f}]"


def _of_one(values: Values) -> tuple[float, float]:
    if len(values) < 2:
        return float(values.mean()), float("nan")
    half = stats.t.ppf(LEVEL, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return float(values.mean()), float(half)


def _of_two(left: Values, right: Values) -> tuple[float, float]:
    gap = float(left.mean() - right.mean())
    if min(len(left), len(right)) < 2:
        return gap, float("nan")
    errors = [values.var(ddof=1) / len(values) for values in (left, right)]
    if not sum(errors):
        return gap, 0.0
    parts = [error**2 / (len(v) - 1) for error, v in zip(errors, (left, right), strict=True)]
    return gap, float(stats.t.ppf(LEVEL, sum(errors) ** 2 / sum(parts)) * np.sqrt(sum(errors)))
