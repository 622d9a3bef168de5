"""Draws that are kept in memory, within a number of bytes."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.float64]

_PATIENCE = 32
"""Calls for a tensor after which draws that none of them took may go: some ten models."""


class _OfTensor:
    """The draws of one tensor.

    Attributes:
        matrix: (capacity, size), a row for each seed.
        taken: (capacity,) the call that last took each row.
        rows: The row of each seed.
        calls: How many calls there were for the tensor.
        last: Number of the last of them among all calls.
    """

    def __init__(self, size: int) -> None:
        """Keep nothing yet, of `size` draws a seed."""
        self.matrix: Draws = np.empty((0, size))
        self.taken = np.empty(0, np.int64)
        self.rows: dict[int, int] = {}
        self.calls = 0
        self.last = 0

    def forget_stale(self) -> None:
        """Remove the rows that no call took lately."""
        is_fresh = self.calls - self.taken[: len(self.rows)] <= _PATIENCE
        kept = np.flatnonzero(is_fresh)
        self.matrix, self.taken = self.matrix[kept], self.taken[kept]
        place = {int(row): new for new, row in enumerate(kept)}
        self.rows = {seed: place[row] for seed, row in self.rows.items() if row in place}


class KeptDraws:
    """A cache for draws that are asked for round by round, a model after the other.

    A cache that drops what was used longest ago holds nothing of use once a round is larger than
    the cache. This one keeps what it has as long as it is asked for at all, and lets new draws go.
    """

    def __init__(self, limit: int) -> None:
        """Keep nothing yet.

        Args:
            limit: Most bytes to keep.
        """
        self.limit = limit
        self.size = 0
        self._calls = 0
        self._lock = threading.RLock()
        self._tensors: OrderedDict[tuple[str, int], _OfTensor] = OrderedDict()

    def take(
        self, tensor: str, size: int, seeds: Sequence[int], draw: Callable[[int], Draws]
    ) -> list[Draws]:
        """Give the draws of several seeds for one tensor, each of shape (size,).

        Args:
            tensor: Name of the tensor.
            size: Draws of each seed.
            seeds: The seeds, each once.
            draw: Makes the draws of a seed that are not kept.
        """
        with self._lock:
            kept, others = self._kept(tensor, size, seeds, draw)
            return [kept.matrix[kept.rows[s]] if s in kept.rows else others[s] for s in seeds]

    def weighted(
        self,
        tensor: str,
        size: int,
        seeds: Sequence[int],
        scales: Draws,
        draw: Callable[[int], Draws],
    ) -> Draws:
        """Sum the draws of several seeds, each multiplied by its scale, in any order.

        Args:
            tensor: As in `take`.
            size: As in `take`.
            seeds: As in `take`.
            scales: One for each seed.
            draw: As in `take`.
        """
        with self._lock:
            kept, others = self._kept(tensor, size, seeds, draw)
            factors = np.zeros(len(kept.rows))
            if others:
                inside = [
                    (s, scale) for s, scale in zip(seeds, scales, strict=True) if s in kept.rows
                ]
                factors[[kept.rows[seed] for seed, _ in inside]] = [scale for _, scale in inside]
            else:
                factors[[kept.rows[seed] for seed in seeds]] = scales
            total: Draws = factors @ kept.matrix[: len(factors)]
            for seed, scale in zip(seeds, scales, strict=True) if others else ():
                if seed in others:
                    total += scale * others[seed]
            return total

    def _kept(
        self, tensor: str, size: int, seeds: Sequence[int], draw: Callable[[int], Draws]
    ) -> tuple[_OfTensor, dict[int, Draws]]:
        """What is kept of a tensor, and the draws of those seeds for which there is no room."""
        self._calls += 1
        key = (tensor, size)
        if key not in self._tensors:
            self._tensors[key] = _OfTensor(size)
        kept = self._tensors[key]
        self._tensors.move_to_end(key)
        kept.calls, kept.last = kept.calls + 1, self._calls
        others: dict[int, Draws] = {}
        missing = [seed for seed in seeds if seed not in kept.rows]
        if len(kept.rows) + len(missing) > len(kept.matrix):
            self._make_room(kept, len(missing), 8 * size)
        for seed in missing:
            if len(kept.rows) == len(kept.matrix):
                others[seed] = draw(seed)
            else:
                kept.matrix[len(kept.rows)] = draw(seed)
                kept.rows[seed] = len(kept.rows)
        kept.taken[[kept.rows[seed] for seed in seeds if seed in kept.rows]] = kept.calls
        return kept, others

    def _make_room(self, kept: _OfTensor, missing: int, row_bytes: int) -> None:
        """Give a tensor rows for what is missing, as far as there is room."""
        needed = len(kept.rows) + missing
        if self.size + (needed - len(kept.matrix)) * row_bytes > self.limit:
            self._drop_another_model(kept)
            before = kept.matrix.nbytes
            kept.forget_stale()
            self.size += kept.matrix.nbytes - before
        needed = len(kept.rows) + missing
        room = (self.limit - self.size) // row_bytes
        more = needed - len(kept.matrix)
        if more > 0 and room > 0:
            more = min(max(more, len(kept.matrix) // 4), room)  # so that few are copied
            kept.matrix = np.concatenate([kept.matrix, np.empty((more, kept.matrix.shape[1]))])
            kept.taken = np.concatenate([kept.taken, np.zeros(more, np.int64)])
            self.size += more * row_bytes

    def _drop_another_model(self, kept: _OfTensor) -> None:
        """Forget tensors that were not asked for lately."""
        for key, other in list(self._tensors.items()):
            if other is kept or self._calls - other.last <= _PATIENCE * len(self._tensors):
                return
            self.size -= self._tensors.pop(key).matrix.nbytes
