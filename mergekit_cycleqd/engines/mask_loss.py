"""How far a segmentation model's masks are from known ones: the loss of fits over images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import binary_cross_entropy_with_logits

from mergekit_cycleqd.engines.backward.learner import SampleLoss

if TYPE_CHECKING:
    from mergekit_cycleqd.engines.vision import Segmenter


@dataclass(frozen=True)
class MaskSample:
    """One image and the mask that a model gave.

    Attributes:
        inputs: What the model takes, as a batch of one.
        target: Probabilities, at the size in which the model gives them: (1, height, width) of the
            object, or (labels, height, width).
    """

    inputs: Mapping[str, Any]
    target: Tensor


class MaskLoss(SampleLoss):
    """The cross-entropy between the masks' probabilities, as the mean over pixels, in nats."""

    def __init__(self, segmenter: Segmenter) -> None:
        """Take the model."""
        self._segmenter = segmenter

    def size(self, sample: MaskSample) -> int:
        """Count every image alike."""
        return 1

    def cost(self, sample: MaskSample) -> float:
        """Estimate the memory of a sample, as a share of what a batch may take."""
        return 1 / self._segmenter.batch_size

    def losses(self, samples: Sequence[MaskSample]) -> Tensor:
        """Compute the loss of each sample as one batch, of shape (samples,)."""
        logits = self._segmenter.logits(joined([sample.inputs for sample in samples]))
        target = torch.stack([sample.target for sample in samples]).to(logits)
        if target.shape[1] == 1:
            found = binary_cross_entropy_with_logits(logits, target, reduction="none")
        else:
            found = -(target * logits.log_softmax(1)).sum(1)
        return found.flatten(1).mean(1)


def answered(segmenter: Segmenter, inputs: Mapping[str, Any]) -> list[MaskSample]:
    """Let a model segment a batch, as targets for other models.

    Args:
        segmenter: The model.
        inputs: The result of its `prepared`.
    """
    with torch.no_grad():
        logits = segmenter.logits(inputs)
    likely = logits.sigmoid() if logits.shape[1] == 1 else logits.softmax(1)
    return [
        MaskSample({key: value[i : i + 1] for key, value in inputs.items()}, target)
        for i, target in enumerate(likely.cpu())
    ]


def joined(inputs: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Put batches of inputs together."""
    found: dict[str, Any] = {}
    for key, first in inputs[0].items():
        parts = [each[key] for each in inputs]
        tensors = isinstance(first, Tensor)
        found[key] = torch.cat(parts) if tensors else [item for part in parts for item in part]
    return found
