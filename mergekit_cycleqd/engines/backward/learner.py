"""A model in memory whose loss on given samples has derivatives by the weights of experts."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from mergekit_cycleqd.engines.backward.slopes import slopes
from mergekit_cycleqd.engines.out_of_memory import MemoryGuard, halve_batch
from mergekit_cycleqd.engines.resident_model import ResidentModel
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.genome.genome import Genome
from mergekit_cycleqd.genome.task_vectors import TaskVectors

_SCALE = 1024.0  # of a loss in float16, whose gradients would else be rounded to zero


class SampleLoss(ABC):
    """The loss of a kind of model on samples whose answers are known."""

    @abstractmethod
    def size(self, sample: Any) -> int:
        """Count what the loss of a sample is the sum over, such as the tokens of its answer."""

    @abstractmethod
    def cost(self, sample: Any) -> float:
        """Estimate the memory that a sample takes, as a share of what a batch may take."""

    @abstractmethod
    def losses(self, samples: Sequence[Any]) -> Tensor:
        """Compute the loss of each sample as one batch, of shape (samples,), in float32."""


class Learner:
    """A resident model and a loss.

    Attributes:
        names: Names of all tensors that are merged.
        copies: Further names of tied tensors in checkpoints, with the name of the tensor.
    """

    def __init__(self, resident: ResidentModel, loss: SampleLoss) -> None:
        """Take over a model that is in memory.

        Args:
            resident: The model.
            loss: Its loss.
        """
        self.names = tuple(resident.layout.names)
        self.copies: Mapping[str, str] = resident.layout.copies()
        self._resident = resident
        self._loss = loss
        self._most: int | None = None  # samples of a batch, after memory ran out

    @property
    def device(self) -> torch.device:
        """Device of the model, or of its first tensor where it is spread."""
        return self._resident.device

    def load(self, genome: Genome) -> None:
        """Replace the weights by those of a genome."""
        self._resident.load(genome)

    def size(self, sample: Any) -> int:
        """Count what the loss of a sample is the sum over."""
        return self._loss.size(sample)

    def loss(self, samples: Sequence[Any], weights: Sequence[float]) -> float:
        """Compute the sum of the losses of samples, each by its weight, without derivatives."""
        total, _ = self._sums(samples, weights, None)
        return total

    def slopes(
        self, vectors: TaskVectors, samples: Sequence[Any], weights: Sequence[float]
    ) -> tuple[float, Mapping[str, Sequence[float]]]:
        """Compute the sum of losses and its derivatives.

        Args:
            vectors: The kind of task vectors of the genome that is loaded.
            samples: Samples with known answers.
            weights: What the loss of each one counts.

        Returns:
            The loss, and by the name of a tensor (K,) derivatives by the experts' weights. A tensor
            that the loss does not depend on is left out.

        Raises:
            OutOfMemory: If one sample alone does not fit.
            ModelError: If the loss or a derivative is no finite number.
        """
        total, found = self._sums(samples, weights, vectors)
        rows = {name: (row / self._scale).tolist() for name, row in found.items()}
        finite = all(map(math.isfinite, (total, *(x for row in rows.values() for x in row))))
        if not finite:
            raise ModelError(
                "the loss on the experts' answers has no finite derivative; try engine.dtype: "
                "bfloat16 or float32"
            )
        return total, rows

    @property
    def _scale(self) -> float:
        return _SCALE if self._resident.dtype == torch.float16 else 1.0

    def _sums(
        self, samples: Sequence[Any], weights: Sequence[float], vectors: TaskVectors | None
    ) -> tuple[float, dict[str, Tensor]]:
        costs = [self._loss.cost(sample) for sample in samples]
        left = sorted(range(len(samples)), key=lambda i: (-costs[i], i))
        total, found = 0.0, dict[str, Tensor]()
        while left:
            batch = left[: self._batch([costs[i] for i in left])]
            with MemoryGuard() as guard:
                chosen = [samples[i] for i in batch]
                counts = torch.tensor([weights[i] for i in batch])
                loss, slope = self._one_batch(chosen, counts, vectors)
            if guard.ran_out is not None:
                self._most = halve_batch(len(batch), "one answer", self.device, guard.ran_out)
                continue
            left = left[len(batch) :]
            total += loss
            for name, row in slope.items():
                found[name] = found[name] + row if name in found else row
        return total, found

    def _batch(self, costs: Sequence[float]) -> int:
        """Count how many of the first samples fit; the first takes the most memory."""
        rows = max(1, int(1 / costs[0]) if costs[0] > 0 else len(costs))
        return min(rows, len(costs), self._most or len(costs))

    def _one_batch(
        self, samples: Sequence[Any], counts: Tensor, vectors: TaskVectors | None
    ) -> tuple[float, dict[str, Tensor]]:
        if vectors is None:
            with torch.no_grad():
                losses = self._loss.losses(samples)
                return float((losses * counts.to(losses)).sum()), {}
        with slopes(self._resident, vectors) as found:
            losses = self._loss.losses(samples)
            loss = (losses * counts.to(losses)).sum()
            (loss * self._scale).backward()  # type: ignore[no-untyped-call]
        return float(loss.detach()), {name: row.cpu() for name, row in found.found.items()}
