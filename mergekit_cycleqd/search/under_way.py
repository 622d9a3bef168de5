"""Children under way: the cells that they are expected to take count as taken.

With many workers, children are bred from the same archives before the first of them is told.
Without this they would all be proposed for the same cell. Each draw of the surrogate gives every
child of a batch its scores, those under way among them, as in batches of Bayesian optimisation
(Ginsbourger, Le Riche and Carraro 2010, doi:10.1007/978-3-642-10701-6_6).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


def with_taken(
    held: NDArray[np.float64],
    places: NDArray[np.int32],
    pending: NDArray[np.int32],
    hoped: NDArray[np.float64],
) -> NDArray[np.float64]:
    """What proposals must exceed in their cells, if the children under way come first.

    Args:
        held: (draws, proposals) worth of the elite in each proposal's cell.
        places: (draws, proposals, n) numbers of these cells.
        pending: (draws, children, n) numbers of the cells of the children under way.
        hoped: (draws, children) worth of these children.

    Returns:
        (draws, proposals) worths.
    """
    draws, proposals, n = places.shape
    rows = np.concatenate([places, pending], axis=1).reshape(-1, n)
    _, cells = np.unique(rows, axis=0, return_inverse=True)
    cells = cells.reshape(draws, -1)
    best = np.full((draws, int(cells.max()) + 1), -np.inf)
    every = np.arange(draws)[:, None]
    np.maximum.at(best, (every, cells[:, proposals:]), hoped)
    found: NDArray[np.float64] = np.maximum(held, best[every, cells[:, :proposals]])
    return found
