"""How much one model scores above another on the same samples: interval and test.

Two models that are asked the same questions are compared question by question. What makes a
question hard is then in both scores, and most of their noise with it: intervals of the difference
are narrower than those of the two scores suggest.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.run_folder.sample_scores import SampleScores
from mergekit_cycleqd.run_folder.score import wilson

METHODS = (
    "In brackets: 95 % intervals of the difference, by Newcombe's method for paired shares where "
    "every score of a task is 0 or 1, else by a bootstrap over samples. p: McNemar's exact test, "
    "or the bootstrap."
)

_DRAWS, _SEED = 9_999, 0


@dataclass(frozen=True)
class Difference:
    """The score of one model minus that of another, on the same samples.

    Attributes:
        value: The difference of means.
        interval: With 95 % confidence.
        p: Of the two-sided test that there is no difference.
        samples: How many samples both were asked.
        higher: On how many of them the first model scores higher.
        lower: On how many it scores lower.
    """

    value: float
    interval: tuple[float, float]
    p: float
    samples: int
    higher: int
    lower: int

    @property
    def is_told(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.interval[0] > 0 or self.interval[1] < 0

    @property
    def word(self) -> str:
        """How the first model is beside the other: better, worse, or level to three digits."""
        if round(self.value, 3) == 0:
            return "level"
        return "better" if self.value > 0 else "worse"

    @property
    def bounds(self) -> str:
        """The interval, such as ``[+0.071, +0.169]``."""
        return f"[{self.interval[0]:+.3f}, {self.interval[1]:+.3f}]"

    @property
    def chance(self) -> str:
        """The test's p, such as ``0.013`` or ``<0.001``."""
        return f"{self.p:.3f}" if self.p >= 0.0005 else "<0.001"

    def __str__(self) -> str:
        """Such as ``+0.120 [+0.071, +0.169]``."""
        return f"{self.value:+.3f} {self.bounds}"

    def by(self) -> str:
        """The size of the difference with its interval, such as ``0.120 [0.071, 0.169]``."""
        low, high = self.interval if self.value >= 0 else (-self.interval[1], -self.interval[0])
        return f"{abs(self.value):.3f} [{low:.3f}, {high:.3f}]"


def difference(first: SampleScores, second: SampleScores) -> Difference | None:
    """Compare two models on one task.

    Where every score is 0 or 1, the test is McNemar's exact one, and the interval Newcombe's (1998,
    method 10) for paired shares. Otherwise both come of a bootstrap over samples.

    Args:
        first: (samples,) scores of one model.
        second: (samples,) scores of the other, of the same samples.

    Returns:
        None where no sample has a score of both.
    """
    both = ~np.isnan(first) & ~np.isnan(second)
    if not both.any():
        return None
    one, other = first[both], second[both]
    higher, lower = int((one > other).sum()), int((one < other).sum())
    value = float(one.mean() - other.mean())
    if np.isin(one, (0, 1)).all() and np.isin(other, (0, 1)).all():
        interval = _newcombe(one == 1, other == 1)
        p = _mcnemar(higher, lower)
    else:
        interval, p = _bootstrap([one - other])
    return Difference(value, interval, p, int(both.sum()), higher, lower)


def mean_difference(pairs: Sequence[tuple[SampleScores, SampleScores]]) -> Difference | None:
    """Compare the means over tasks of two models: a bootstrap over the samples of each task.

    Args:
        pairs: For each task the scores of both models, as `difference` takes them.

    Returns:
        None where a task has no sample with a score of both.
    """
    if len(pairs) == 1:
        return difference(*pairs[0])
    found = [first - second for first, second in pairs]
    found = [each[~np.isnan(each)] for each in found]
    if not found or not all(map(len, found)):
        return None
    interval, p = _bootstrap(found)
    every = np.concatenate(found)
    value = math.fsum(float(each.mean()) for each in found) / len(found)
    return Difference(
        value, interval, p, len(every), int((every > 0).sum()), int((every < 0).sum())
    )


def _mcnemar(higher: int, lower: int) -> float:
    """The exact test: of the samples that tell the models apart, half would go to each."""
    if not higher + lower:
        return 1.0
    from scipy.stats import binomtest  # takes most of a second to import

    return float(binomtest(higher, higher + lower).pvalue)


def _newcombe(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> tuple[float, float]:
    count = len(one)
    both, neither = int((one & other).sum()), int((~one & ~other).sum())
    first, second = int((one & ~other).sum()), int((~one & other).sum())
    shares = (both + first) / count, (both + second) / count
    (low, high), (other_low, other_high) = (wilson(share, count) for share in shares)
    below, above = shares[0] - low, high - shares[0]
    other_below, other_above = shares[1] - other_low, other_high - shares[1]
    product = (both + first) * (second + neither) * (both + second) * (first + neither)
    excess = float(both * neither - first * second)
    if excess > 0:
        excess = max(excess - count / 2, 0.0)
    correlation = excess / math.sqrt(product) if product else 0.0

    def spread(a: float, b: float) -> float:
        return math.sqrt(max(0.0, a * a - 2 * correlation * a * b + b * b))

    gap = shares[0] - shares[1]
    return max(-1.0, gap - spread(below, other_above)), min(1.0, gap + spread(above, other_below))


def _bootstrap(gaps: Sequence[NDArray[np.float64]]) -> tuple[tuple[float, float], float]:
    """The percentile interval of a mean over tasks, and twice the share of means beyond zero.

    How often each sample is drawn is multinomial, so equal gaps are drawn together. There are three
    where scores are 0 and 1, and ten thousand draws take milliseconds.
    """
    if all(len(each) == 1 for each in gaps):  # of which no draw differs
        return (-math.inf, math.inf), 1.0
    random = np.random.default_rng(_SEED)
    means = np.zeros(_DRAWS)
    for each in gaps:
        values, counts = np.unique(each, return_counts=True)
        drawn = random.multinomial(len(each), counts / len(each), size=_DRAWS)
        means += drawn @ values / (len(each) * len(gaps))
    low, high = np.quantile(means, (0.025, 0.975))
    beyond = 1 + min(int((means <= 0).sum()), int((means >= 0).sum()))
    return (float(low), float(high)), min(1.0, 2 * beyond / (1 + _DRAWS))
