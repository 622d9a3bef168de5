"""A few numbers of each tensor, which tell how far two models are apart without their weights.

A sketch projects a tensor onto four random vectors of signs. The projections of two tensors differ
by the norm of their difference, times a number of mean square one (Johnson and Lindenstrauss, 1984;
with signs, Achlioptas, 2003). So four of them give that norm to about a third, and those of all
tensors of a model to a few percent.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint

_PROJECTIONS = 4
_BLOCK = 4093  # a prime, so that the rows of a matrix begin at other places of a block
_BLOCKS = 256  # that are in memory at a time, in float64
_SUMMED = 1e-13  # of a tensor's norm: what the order of a sum may change


@dataclass(frozen=True)
class TensorSketch:
    """A few numbers of one tensor.

    Attributes:
        change: Norm of its difference from the base's tensor; None if that is not known.
        projections: Projections onto vectors of signs that never change.
    """

    change: float | None
    projections: tuple[float, ...]

    def __str__(self) -> str:
        """Write the numbers as `read` reads them, with all their digits."""
        change = "-" if self.change is None else repr(self.change)
        return " ".join([change, *map(repr, self.projections)])

    @classmethod
    def read(cls, text: str) -> TensorSketch:
        """Read what `str` wrote.

        Raises:
            ValueError: If the text is something else.
        """
        change, *projections = text.split() or [""]
        if len(projections) != _PROJECTIONS:
            raise ValueError(f"a sketch has {_PROJECTIONS} projections, got {text!r}")
        return cls(None if change == "-" else float(change), tuple(map(float, projections)))

    def distance(self, other: TensorSketch) -> float:
        """Estimate the norm of the difference of two tensors; 0 if it is rounding of the sums."""
        found = math.dist(self.projections, other.projections) / math.sqrt(_PROJECTIONS)
        size = max(map(abs, (*self.projections, *other.projections)))
        return found if found > _SUMMED * size else 0.0


@dataclass(frozen=True)
class Difference:
    """How far two models are apart.

    Attributes:
        of_change: Norm of the difference, relative to that of the change from the base.
        tensor: The tensor with the largest such ratio.
        of_its_change: That ratio; infinite for a tensor that is the base's in one model alone.
        unshared: Names of tensors that one of the models lacks.
    """

    of_change: float
    tensor: str
    of_its_change: float
    unshared: tuple[str, ...]


@torch.no_grad()
def sketch_model(model: Checkpoint, base: Checkpoint | None = None) -> dict[str, TensorSketch]:
    """Sketch every tensor of a model, reading one at a time.

    Args:
        model: The model.
        base: Its base, to measure the change of tensors that have the same name in both.

    Raises:
        ModelError: If a checkpoint cannot be read.
    """
    found = {}
    for name, header in model.headers.items():
        known = base is not None and base.headers.get(name)
        same_shape = known and known.shape == header.shape
        start = base.tensor(name) if base is not None and same_shape else None
        found[name] = sketch_tensor(model.tensor(name), start)
    return found


def sketch_tensor(tensor: Tensor, base: Tensor | None = None) -> TensorSketch:
    """Sketch one tensor.

    Args:
        tensor: A tensor of any shape, with finite numbers.
        base: The base's tensor, of the same shape.
    """
    numbers, start = tensor.reshape(-1), None if base is None else base.reshape(-1)
    blocks = _signs("block", math.ceil(len(numbers) / _BLOCK))
    inside = _signs("inside", _BLOCK * _PROJECTIONS).reshape(_BLOCK, _PROJECTIONS)
    projections = torch.zeros(_PROJECTIONS, dtype=torch.float64)
    squares = 0.0
    for first in range(0, len(blocks), _BLOCKS):
        where = slice(first * _BLOCK, (first + _BLOCKS) * _BLOCK)
        part = numbers[where].double()
        if start is not None:
            squares += float((part - start[where].double()).square().sum())
        rows = torch.nn.functional.pad(part, (0, -len(part) % _BLOCK)).reshape(-1, _BLOCK)
        projections += blocks[first : first + _BLOCKS] @ (rows @ inside)
    change = None if start is None else math.sqrt(squares)
    return TensorSketch(change, tuple(projections.tolist()))


def compare_sketches(
    found: Mapping[str, TensorSketch], expected: Mapping[str, TensorSketch]
) -> Difference:
    """Estimate how far a model is apart from another one.

    Args:
        found: Sketches of the tensors of one model, by name.
        expected: Those of the other model, with their changes from the base.
    """
    shared = [name for name in expected if name in found]
    distances = {name: found[name].distance(expected[name]) for name in shared}
    changes = {name: expected[name].change or 0.0 for name in shared}
    ratios = {name: _ratio(distances[name], changes[name]) for name in shared}
    tensor = max(shared, key=ratios.__getitem__, default="")
    return Difference(
        _ratio(math.hypot(*distances.values()), math.hypot(*changes.values())),
        tensor,
        ratios.get(tensor, 0.0),
        tuple(sorted(found.keys() ^ expected.keys())),
    )


def _ratio(difference: float, change: float) -> float:
    return difference / change if change else math.inf if difference else 0.0


@lru_cache(maxsize=64)
def _signs(kind: str, count: int) -> Tensor:
    """Draw signs that never change, as float64; fewer are the first ones of more."""
    key = hashlib.sha256(f"mergekit-cycleqd/1\nsketch\n{kind}".encode()).digest()[:16]
    words = np.random.Philox(key=int.from_bytes(key, "little")).random_raw(-(-count // 64))
    bits = np.unpackbits(words.astype("<u8").view(np.uint8), bitorder="little")[:count]
    return torch.from_numpy(1.0 - 2.0 * bits)
