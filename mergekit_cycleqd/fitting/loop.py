"""The fit of one weight for each expert and group of tensors, by Adam (arXiv:1412.6980).

The loss is the mean negative log-likelihood of the experts' answers, in which every expert counts
alike. Its derivative by a weight comes from one backward pass of the merged model.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.fitting.tensor_groups import filters_of, places_of, with_copies
from mergekit_cycleqd.genome.family import Family
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.groups import NO_GROUPS, TensorGroups
from mergekit_cycleqd.genome.task_vectors import TaskVectors
from mergekit_cycleqd.recipe.founders import Fit

START = 0.8
RATE = 0.1
TAIL = 0.25  # share of the steps, the last ones, whose mean is the result
KEPT = (1.0, 0.75, 0.5, 0.25, 0.0)
"""How much of the groups' differences may be kept. Held-back samples choose."""

Weights = NDArray[np.float64]
Samples = Sequence[Sequence[Any]]
"""Of each expert the samples that it answered."""


class Learner(Protocol):
    """A model in memory: see `engines.backward.learner.Learner`."""

    names: tuple[str, ...]
    copies: Mapping[str, str]

    def load(self, genome: Genome) -> None:
        """Replace the weights by those of a genome."""

    def size(self, sample: Any) -> int:
        """Count what the loss of a sample is the sum over."""

    def loss(self, samples: Sequence[Any], weights: Sequence[float]) -> float:
        """Compute the sum of the losses of samples, each by its weight."""

    def slopes(
        self, vectors: TaskVectors, samples: Sequence[Any], weights: Sequence[float]
    ) -> tuple[float, Mapping[str, Sequence[float]]]:
        """Compute the same and its derivatives by the weight of each expert in each tensor."""


@dataclass
class State:
    """A fit between two steps.

    Attributes:
        step: How many steps were made.
        weights: (groups, experts) weights.
        first: Running mean of the derivatives.
        second: Running mean of their squares.
        tail: Sum of the weights of the last steps.
        losses: Loss of each step's batch before the step.
    """

    step: int
    weights: Weights
    first: Weights
    second: Weights
    tail: Weights
    losses: list[float]

    @classmethod
    def new(cls, groups: int, experts: int) -> State:
        """Start with equal weights."""
        zero = np.zeros((groups, experts))
        return cls(0, np.full_like(zero, START), zero, zero, zero, [])


@dataclass(frozen=True)
class Fitted:
    """What came of a fit.

    Attributes:
        genome: The model.
        losses: Loss of each step's batch before the step, in nats.
        held_back: Mean loss on the held-back samples by how much of the groups' differences is
            kept.
        kept: The one of the smallest loss, whose model `genome` is.
    """

    genome: Genome
    losses: tuple[float, ...]
    held_back: Mapping[float, float]
    kept: float


class WeightFit:
    """One fit, step by step, so that it can be stopped between two steps and go on later."""

    def __init__(
        self,
        learner: Learner,
        family: Family,
        settings: Fit,
        seed: int,
        state: State | None = None,
    ) -> None:
        """Start a fit, or go on with one.

        Args:
            learner: The model in memory.
            family: What the weights refer to.
            settings: The recipe's section.
            seed: Of the order of samples.
            state: Where an earlier fit of the same settings was stopped.
        """
        self._learner = learner
        self._family = family
        self._settings = settings
        self._seed = seed
        filters = filters_of(learner.names, settings.groups)
        self._places = dict(zip(learner.names, places_of(learner.names, filters), strict=True))
        self._filters = with_copies(filters, self._places, learner.copies)
        self.state = state or State.new(max(1, len(filters)), len(family.experts))

    def steps(self, samples: Samples) -> Iterator[State]:
        """Make the steps that are left. After each, give the state.

        Args:
            samples: Of each expert the samples with the expert's answers.
        """
        while self.state.step < self._settings.steps:
            self._step(samples)
            yield self.state

    def _step(self, samples: Samples) -> None:
        state, steps = self.state, self._settings.steps
        rng = np.random.Generator(
            np.random.Philox(np.random.SeedSequence([self._seed, state.step]))
        )
        share = max(1, self._settings.batch // len(samples))
        batch = [[own[i] for i in rng.permutation(len(own))[:share].tolist()] for own in samples]
        self._learner.load(self.genome(state.weights))
        drawn, counts = _weighted(self._learner, batch)
        loss, found = self._learner.slopes(self._family.task_vectors, drawn, counts)
        slope = np.zeros_like(state.weights)
        for name in self._learner.names:
            if name in found:
                slope[self._places[name]] += found[name]
        done = state.step + 1
        state.first = 0.9 * state.first + 0.1 * slope
        state.second = 0.999 * state.second + 0.001 * slope**2
        scale = np.sqrt(state.second / (1 - 0.999**done)) + 1e-8
        rate = RATE * 0.5 * (1 + math.cos(math.pi * state.step / steps))
        state.weights = state.weights - rate * state.first / (1 - 0.9**done) / scale
        state.losses.append(loss)
        if state.step >= int((1 - TAIL) * steps):
            state.tail = state.tail + state.weights
        state.step = done

    def result(self, held_back: Samples, each: Callable[[], None] = lambda: None) -> Fitted:
        """Choose how much of the groups' differences is kept, by samples that no step saw.

        Few samples say little of each group. Then weights that are more alike do better.

        Args:
            held_back: Of each expert other samples with the expert's answers.
            each: Called after each of the models that are compared.
        """
        steps = self._settings.steps
        weights = self.state.tail / (steps - int((1 - TAIL) * steps))
        drawn, counts = _weighted(self._learner, held_back)
        found = {}
        for kept in KEPT if len(weights) > 1 else KEPT[:1]:
            self._learner.load(self.genome(_alike(weights, kept)))
            found[kept] = self._learner.loss(drawn, counts)
            each()
        kept = min(found, key=lambda share: (found[share], share))
        genome = self.genome(_alike(weights, kept))
        return Fitted(genome, tuple(self.state.losses), found, kept)

    def genome(self, weights: Weights) -> Genome:
        """Make the genome of (groups, experts) weights."""
        rows = [tuple(row) for row in weights.tolist()]
        if not self._filters:
            return Genome(self._family, rows[0], groups=NO_GROUPS)
        means = tuple(weights.mean(axis=0).tolist())
        groups = TensorGroups(tuple(self._filters), tuple(rows[i] for i in self._filters.values()))
        return Genome(self._family, means, groups=groups)


def _alike(weights: Weights, kept: float) -> Weights:
    """Draw the groups' weights towards their mean, expert by expert."""
    means: Weights = weights.mean(axis=0)
    found: Weights = means + kept * (weights - means)
    return found


def _weighted(learner: Learner, samples: Samples) -> tuple[list[Any], list[float]]:
    """List all samples, with weights by which every expert counts alike in their mean loss."""
    drawn, counts = list[Any](), list[float]()
    for own in samples:
        sizes = [learner.size(sample) for sample in own]
        drawn += own
        counts += [1 / (len(samples) * sum(sizes))] * len(own)
    return drawn, counts
