"""The models that search samples choose from, for each method: a name of the settings, and tensors.

Every function makes them one by one, so that only one is in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from stock import COEFFICIENTS
from torch import Tensor

from compared import adamerging, by_direction, knots, regmean, wudi_by_adam
from compared.differentiable import Differentiable, Samples
from compared.tensors import EMBEDDING, Tensors, averaged, summed
from mergekit_cycleqd.merging.task_vector import task_vector
from mergekit_cycleqd.merging.wudi_task_vectors import wudi_task_vectors

Candidates = Iterator[tuple[str, dict[str, Tensor]]]


@dataclass(frozen=True)
class Settings:
    """The grids.

    Attributes:
        coefficients: Of isotropic merges.
        densities: Shares of values that TIES keeps.
        ties_coefficients: Of what TIES makes, which is a mean over experts.
        scales: Of RegMean's elements off the diagonal.
        ada_stops: After how many steps AdaMerging's model is looked at.
        wudi_rates: Adam's learning rates in WUDI.
        wudi_steps: Its steps.
        stock_coefficients: Of task arithmetic and of `wudi`.
        direction_steps: Steps of the fit by singular direction.
    """

    coefficients: Sequence[float] = tuple(round(0.2 * i, 1) for i in range(1, 16))
    densities: Sequence[float] = (0.2, 0.4, 0.6, 0.8, 1.0)
    ties_coefficients: Sequence[float] = (0.5, 1.0, 1.5, 2.0, 3.0)
    scales: Sequence[float] = regmean.SCALES
    ada_stops: Sequence[int] = adamerging.STOPS
    wudi_rates: Sequence[float] = wudi_by_adam.RATES
    wudi_steps: int = wudi_by_adam.STEPS
    stock_coefficients: Sequence[float] = tuple(COEFFICIENTS)
    direction_steps: int = by_direction.STEPS


def isotropic(
    tensors: Tensors, merge: Callable[[Tensor], Tensor], settings: Settings
) -> Candidates:
    """Iso-C or Iso-CTS by every coefficient, with both treatments of the embedding."""
    for words, of_embedding in (("as a matrix", merge), ("added up", summed)):
        changes = tensors.changes(merge, averaged, of_embedding)
        for scale in settings.coefficients:
            yield f"coefficient {scale}, embedding {words}", tensors.model(changes, scale)


def knots_ties(tensors: Tensors, settings: Settings) -> Candidates:
    """KnOTS with TIES by every density and coefficient."""
    for density in settings.densities:
        merge = knots.ties_of(density)
        for words, scaled in (("without", False), ("with", True)):
            changes = tensors.changes(_knots(merge, scaled=scaled), merge)
            for scale in settings.ties_coefficients:
                name = f"density {density}, {words} singular values, coefficient {scale}"
                yield name, tensors.model(changes, scale)


def _knots(merge: knots.Merge, *, scaled: bool) -> Callable[[Tensor], Tensor]:
    return lambda taus: knots.knots(taus, merge, scaled=scaled)


def regmeans(
    tensors: Tensors,
    inputs: Sequence[tuple[Mapping[str, Tensor], Tensor]],
    settings: Settings,
    *,
    embedding: bool,
) -> Candidates:
    """RegMean by every scale.

    Args:
        tensors: Base and task vectors.
        inputs: Of each expert Grams and counts of tokens, as `regmean.grams_of` gives them.
        settings: With the scales.
        embedding: Whether the formula is applied to the embedding too.
    """
    changes = tensors.changes(averaged, averaged)
    if embedding:
        counts = torch.stack([counts for _, counts in inputs])
        changes[EMBEDDING] = regmean.by_counts(tensors.taus[EMBEDDING], counts)
    for scale in settings.scales:
        for name in tensors.linear:
            grams = torch.stack([found[name] for found, _ in inputs])
            # A mean of weights by matrices that add up to one: that of task vectors, plus the base.
            changes[name] = regmean.regmean(tensors.taus[name], grams, scale)
        yield f"off-diagonal {scale}", tensors.model(changes)


def adamergings(
    tensors: Tensors,
    model: Differentiable,
    samples: Samples,
    seed: int,
    start: float,
    settings: Settings,
) -> Candidates:
    """AdaMerging from one start, after some numbers of steps."""
    stops = settings.ada_stops
    for steps, state in adamerging.adamerging(tensors, model, samples, seed, start, stops):
        yield f"{steps} steps", state


def wudis(tensors: Tensors, settings: Settings, *, embedding: bool) -> Candidates:
    """WUDI by Adam with every learning rate.

    Args:
        tensors: Base and task vectors.
        settings: With the rates.
        embedding: Whether the embedding is treated as `wudi` does; else it is added up.
    """
    changes = tensors.changes(summed, summed)
    if embedding:
        changes[EMBEDDING] = _without_interference(tensors, EMBEDDING)
    for rate in settings.wudi_rates:
        steps = settings.wudi_steps
        changes |= wudi_by_adam.wudi_by_adam(tensors.taus, tensors.linear, rate, steps)
        yield f"rate {rate}", tensors.model(changes)


def _without_interference(tensors: Tensors, name: str) -> Tensor:
    base = tensors.base[name]
    experts = [base + tau for tau in tensors.taus[name]]

    def unused(_: Tensor) -> None:
        raise AssertionError("wudi needs no singular directions")

    found = wudi_task_vectors(name, base, experts, 0.1, unused)  # type: ignore[arg-type]
    return torch.stack([task_vector(base, each) for each in found if each is not None]).sum(0)
