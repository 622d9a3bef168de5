"""WUDI-Merging as in its paper (arXiv:2503.08099): by Adam, where `wudi` has a closed form.

The merged task vector of each linear layer minimises

    sum_k |(tau - tau_k) tau_k^T|^2 / |tau_k|^2

which is ``trace((tau - tau_k) G_k (tau - tau_k)^T)`` with ``G_k = tau_k^T tau_k / |tau_k|^2``. It
starts at the sum of the task vectors. There is no penalty: how far it gets is up to rate and steps.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

STEPS = 300
RATES = (1e-5, 1e-4, 1e-3)


def objective(tau: Tensor, taus: Tensor) -> Tensor:
    """Compute what a merged task vector does to the inputs that task vectors stand for.

    Args:
        tau: (m, n) merged task vector.
        taus: (experts, m, n) task vectors.
    """
    gaps = tau - taus
    return ((gaps @ _grams(taus)) * gaps).sum()


def wudi_by_adam(
    taus: Mapping[str, Tensor], names: Sequence[str], rate: float, steps: int = STEPS
) -> dict[str, Tensor]:
    """Minimise the objective of several layers, each for itself.

    Args:
        taus: (experts, m, n) task vectors of each layer.
        names: The layers.
        rate: Adam's learning rate.
        steps: How many steps it makes.

    Returns:
        The merged task vector of each layer.
    """
    found = {name: taus[name].sum(0).requires_grad_() for name in names}
    grams = {name: _grams(taus[name]) for name in names}
    adam = torch.optim.Adam(list(found.values()), lr=rate)
    for _ in range(steps):
        adam.zero_grad()
        for name, tau in found.items():
            # The derivative of the objective, whose Grams are symmetric.
            tau.grad = 2 * ((tau.detach() - taus[name]) @ grams[name]).sum(0)
        adam.step()
    return {name: tau.detach() for name, tau in found.items()}


def _grams(taus: Tensor) -> Tensor:
    squares = taus.square().sum((1, 2), keepdim=True).clamp(min=torch.finfo(taus.dtype).tiny)
    return taus.mT @ taus / squares
