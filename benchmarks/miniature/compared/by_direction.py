"""One weight for each singular direction of each expert's matrices, fitted to own answers.

A task vector of a matrix is ``U diag(s) V^T``. A merge is ``W_0 + sum_k U_k diag(c_k s_k) V_k^T``,
with a weight c for each direction; a tensor of one axis has one. As in the fit of tensors' weights,
Adam minimises the negative log-likelihood of the experts' own answers, in which every expert counts
alike: from 0.8, at a rate of 0.1 with cosine decay, and the mean of the last quarter of the steps
is the result.

There are a hundred times as many weights as in a fit by tensor. So a penalty is added: a strength
times the sum of the squared distances of directions' weights from the mean of their tensor's.
Held-back answers choose the strength.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from compared.differentiable import Differentiable, Samples, drawn, surprise
from compared.tensors import Tensors

START, RATE, STEPS, BATCH, TAIL = 0.8, 0.1, 40, 48, 0.25
STRENGTHS = (1e-6, 1e-5, 1e-4, 1e-3)


class Directions(NamedTuple):
    """The task vectors of a tensor: ``left @ (values * c) @ right`` with all experts' side by side.

    Attributes:
        left: (m, experts * r) left singular vectors, each times its singular value.
        right: (experts * r, n) right singular vectors.
        shape: Of the tensor.
    """

    left: Tensor
    right: Tensor
    shape: Sequence[int]

    def merged(self, weights: Tensor) -> Tensor:
        """Compute the change that (experts, r) weights make."""
        return ((self.left * weights.flatten()) @ self.right).reshape(*self.shape)


def directions(taus: Tensor) -> Directions:
    """Decompose the task vectors of one tensor, (experts, *shape)."""
    matrices = taus.double() if taus.ndim == 3 else taus.double()[:, :, None]
    left, values, right = torch.linalg.svd(matrices, full_matrices=False)
    lefts = torch.cat(list(left * values[:, None, :]), dim=1)
    return Directions(lefts.float(), torch.cat(list(right)).float(), taus.shape[1:])


def fit(
    tensors: Tensors,
    model: Differentiable,
    fitted: Samples,
    held_back: Samples,
    seed: int,
    strengths: Sequence[float] = STRENGTHS,
    steps: int = STEPS,
) -> tuple[float, dict[str, Tensor]]:
    """Fit with each strength of the penalty.

    Args:
        tensors: Base and task vectors.
        model: Of their shape.
        fitted: Of each expert prompts with its answers.
        held_back: Others, which choose the strength.
        seed: Of the order of samples.
        strengths: To choose from.
        steps: Of Adam.

    Returns:
        The strength that was chosen, and the state dict.
    """
    parts = {name: directions(taus) for name, taus in tensors.taus.items()}
    found: list[tuple[float, float, dict[str, Tensor]]] = []
    for strength in strengths:
        weights = _fitted(tensors, parts, model, fitted, seed, strength, steps)
        changes = {name: parts[name].merged(own) for name, own in weights.items()}
        state = tensors.model(changes)
        with torch.no_grad():
            lost = _loss(model, {name: state[name] for name in parts}, held_back)
        found.append((float(lost), strength, state))
    _, strength, state = min(found, key=lambda each: each[:2])
    return strength, state


def penalty(weights: Mapping[str, Tensor]) -> Tensor:
    """Sum the squared distances of (experts, r) weights from their means over directions."""
    return torch.stack(
        [(own - own.mean(1, keepdim=True)).square().sum() for own in weights.values()]
    ).sum()


def _fitted(
    tensors: Tensors,
    parts: Mapping[str, Directions],
    model: Differentiable,
    samples: Samples,
    seed: int,
    strength: float,
    steps: int,
) -> dict[str, Tensor]:
    experts = len(samples)
    weights = {
        name: torch.full((experts, part.left.shape[1] // experts), START, requires_grad=True)
        for name, part in parts.items()
    }
    adam = torch.optim.Adam(list(weights.values()), lr=RATE)
    tail = {name: torch.zeros_like(own) for name, own in weights.items()}
    first = int((1 - TAIL) * steps)
    for step in range(steps):
        adam.param_groups[0]["lr"] = RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        merged = {n: start + parts[n].merged(weights[n]) for n, start in tensors.base.items()}
        batch = drawn(samples, BATCH // experts, seed, step)
        loss = _loss(model, merged, batch) + strength * penalty(weights)
        adam.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        adam.step()
        if step >= first:
            for name, own in weights.items():
                tail[name] += own.detach() / (steps - first)
    return tail


def _loss(model: Differentiable, weights: Mapping[str, Tensor], samples: Samples) -> Tensor:
    return torch.stack([surprise(*model.told(weights, own)) for own in samples]).mean()
