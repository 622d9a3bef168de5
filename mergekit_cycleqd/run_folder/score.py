"""A score with its 95 % interval."""

from __future__ import annotations

import math
from dataclasses import dataclass

Z = 1.959963984540054  # of 95 %


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        value: As the task's metric gives it.
        samples: How many samples it rests on; None if that is not known.
        interval: 95 % Wilson interval, where the value is a share of the samples.
    """

    value: float
    samples: int | None
    interval: tuple[float, float] | None

    @classmethod
    def of(cls, value: float, samples: int | None) -> Score:
        """A score, with an interval if it can be a share of so many samples."""
        share = samples and 0 <= value <= 1 and abs(value * samples - round(value * samples)) < 1e-6
        return cls(value, samples, wilson(value, samples) if share and samples else None)

    @property
    def error(self) -> float | None:
        """The standard error, where the value is a share of two samples or more."""
        if self.interval is None or self.samples is None or self.samples < 2:
            return None
        return math.sqrt(self.value * (1 - self.value) / (self.samples - 1))

    @property
    def bounds(self) -> str:
        """The interval, such as ``[0.756, 0.863]``; empty without one."""
        return "" if self.interval is None else f"[{self.interval[0]:.3f}, {self.interval[1]:.3f}]"

    def __str__(self) -> str:
        """Such as ``0.815 [0.756, 0.863]``."""
        return f"{self.value:.3f} {self.bounds}".rstrip()


def wilson(share: float, samples: int) -> tuple[float, float]:
    """The 95 % interval of a share (Wilson, 1927)."""
    centre = share + Z**2 / (2 * samples)
    spread = Z * math.sqrt(share * (1 - share) / samples + Z**2 / (4 * samples**2))
    scale = 1 + Z**2 / samples
    return max(0.0, (centre - spread) / scale), min(1.0, (centre + spread) / scale)
