"""Cell numbers of measures; cells are closed on the right, as in the released code."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def cell_numbers(
    measures: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    bins: NDArray[np.int64],
) -> NDArray[np.int32]:
    """Cell numbers along each axis; cells are closed on the right, as in the released code.

    A measure on an edge belongs to the cell below it (0.25 in four cells of [0, 1] to cell 0), and
    what lies outside is clipped. The numbers never fall as measures rise.

    Args:
        measures: Shape (n, axes).
        low: Lowest value of each axis.
        high: Highest value of each axis.
        bins: Cells along each axis.

    Returns:
        Shape (n, axes).
    """
    position = bins * (np.clip(measures, low, high) - low) / (high - low)
    numbers: NDArray[np.int32] = np.clip(np.ceil(position - 1e-6) - 1, 0, bins - 1).astype(np.int32)
    return numbers
