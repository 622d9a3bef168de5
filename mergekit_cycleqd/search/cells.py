"""Cell numbers of measures, for cells that are closed on the right."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def cell_numbers(
    measures: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    bins: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Compute the cell number of measures along each axis.

    Cells are closed on the right, as in the authors' released code: a measure on an edge belongs
    to the cell below. With four cells of [0, 1], 0.25 belongs to cell 0. Measures outside the range
    are clipped. Larger measures never have smaller numbers.

    Args:
        measures: Values of shape (n, axes).
        low: Lowest value of each axis.
        high: Highest value of each axis.
        bins: Number of cells along each axis.

    Returns:
        Cell numbers of shape (n, axes).
    """
    position = bins * (np.clip(measures, low, high) - low) / (high - low)
    numbers: NDArray[np.int32] = np.clip(np.ceil(position - 1e-6) - 1, 0, bins - 1).astype(np.int32)
    return numbers


def cell_of(measures: Sequence[float], axes: Sequence[tuple[float, float, int]]) -> tuple[int, ...]:
    """Compute the cell numbers of one row of finite measures, as `cell_numbers` does.

    Args:
        measures: A value for each axis.
        axes: Lowest value, highest value and number of cells of each axis.
    """
    found = []
    for value, (low, high, bins) in zip(measures, axes, strict=True):
        position = bins * (min(max(value, low), high) - low) / (high - low)
        found.append(min(max(math.ceil(position - 1e-6) - 1, 0), bins - 1))
    return tuple(found)
