"""Draws that are kept in memory, within a number of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Draws = NDArray[np.float64]

_PATIENCE = 32
"""Calls for a tensor after which draws that none of them took may go: some ten models."""


@dataclass(slots=True)
class _OfTensor:
    """The draws of one tensor, by seed, each with the call that last took it."""

    calls: int = 0
    bytes: int = 0
    last: int = 0
    draws: dict[int, list] = field(default_factory=dict)  # type: ignore[type-arg]


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
        self._tensors: OrderedDict[tuple[str, int], _OfTensor] = OrderedDict()

    def take(
        self, tensor: str, size: int, seeds: Sequence[int], draw: Callable[[int], Draws]
    ) -> list[Draws]:
        """Give the draws of several seeds for one tensor.

        Args:
            tensor: Name of the tensor.
            size: Draws of each seed.
            seeds: The seeds.
            draw: Makes the draws of a seed that are not kept.
        """
        self._calls += 1
        kept = self._tensors.setdefault((tensor, size), _OfTensor())
        self._tensors.move_to_end((tensor, size))
        kept.calls, kept.last = kept.calls + 1, self._calls
        found, full = [], False
        for seed in seeds:
            entry = kept.draws.get(seed)
            if entry is not None:
                entry[1] = kept.calls
                found.append(entry[0])
                continue
            drawn = draw(seed)
            found.append(drawn)
            full = full or not self._has_room(kept, drawn.nbytes)
            if not full:
                kept.draws[seed] = [drawn, kept.calls]
                kept.bytes += drawn.nbytes
                self.size += drawn.nbytes
        return found

    def _has_room(self, kept: _OfTensor, needed: int) -> bool:
        """Whether so many bytes can be kept, after what is asked for no more was let go."""
        if self.size + needed <= self.limit:
            return True
        oldest = next(iter(self._tensors))
        if self._calls - self._tensors[oldest].last > _PATIENCE * len(self._tensors):
            self.size -= self._tensors.pop(oldest).bytes  # of another model
        else:
            stale = [s for s, (_, call) in kept.draws.items() if kept.calls - call > _PATIENCE]
            for seed in stale:
                freed = kept.draws.pop(seed)[0].nbytes
                kept.bytes -= freed
                self.size -= freed
        return self.size + needed <= self.limit
