"""Near-equal singular values: does a GPU make the same mutated tensor as the CPU?

Singular vectors of two close values are known up to the precision of the decomposition over their
relative gap (Davis and Kahan, 1970). A mutation scales both by different draws. So its result is
known to the same precision. Values with a gap of at most 1e-9 share a draw.
"""

from __future__ import annotations

import torch
from torch import Tensor

from benchmarks.gpu.setting import Setting
from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.directions import directions
from mergekit_cycleqd.merging.kernel import LeadingDirections, Share, merge_into

GAPS = (1e-4, 1e-6, 1e-8, 1e-10, 1e-12, 1e-14, 0.0)
_SHARED = 1e-9  # values with no larger gap share a draw
_FACTOR = 16.0
"""Forty times what one thread and two of a CPU differed by, at gaps of 1e-10 to 1e-14.

(Before close values shared a draw.)
"""

_STORED = 1e-6  # vectors are stored in float32


def planted(side: int, gap: float) -> Tensor:
    """Make a float64 matrix whose singular values come in pairs of this relative gap.

    Pairs are `1 / side` apart or more, relative to their values; the gap must be smaller.
    """
    draw = torch.Generator().manual_seed(0)
    u, v = (
        torch.linalg.qr(torch.randn(side, side, generator=draw, dtype=torch.float64))[0]
        for _ in range(2)
    )
    pairs = torch.linspace(2.0, 1.0, side // 2, dtype=torch.float64)
    values = torch.stack([pairs, pairs * (1 - gap)], 1).flatten()
    return (u * values) @ v.T


def mutated(tau: Tensor) -> Tensor:
    """Compute what one term adds to a base of zeros, on the device of `tau`."""
    base, out = torch.zeros_like(tau), torch.empty_like(tau)

    def leading() -> LeadingDirections:
        return LeadingDirections.of(tau, directions(tau), 0, 0.0, tau.dtype)

    merge_into(out, "planted", base, [Share(0.0, (Term(0, 7, 1.0),), tau, leading)], [])
    return out.cpu()


def bound(gap: float) -> float:
    """Bound the relative difference of two mutated tensors at a relative gap."""
    rounding = torch.finfo(torch.float64).eps
    return _STORED if gap <= _SHARED else _STORED + _FACTOR * rounding / gap


def measure(setting: Setting) -> None:
    """Compare both devices at each gap.

    Raises:
        RuntimeError: If a difference is beyond its bound.
    """
    beyond = []
    for gap in GAPS:
        tau = planted(setting.few(1024, 64), gap)
        expected = mutated(tau)
        found = mutated(tau.to(setting.device))
        difference = float((found - expected).norm() / expected.norm())
        again = float((mutated(tau.to(setting.device)) - found).norm() / expected.norm())
        setting.results.add(
            "clusters of singular values",
            **{"relative gap": gap, "CPU against GPU": difference, "bound": bound(gap)},
            **{"the same device again": again},
        )
        beyond += [gap] if difference > bound(gap) else []
    if beyond:
        raise RuntimeError(f"beyond the bound at gaps {beyond}")
