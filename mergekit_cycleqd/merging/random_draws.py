"""The random numbers of a recipe: the same on every machine, in any order of tensors, for years.

numpy's Philox generator is counter-based and its raw stream is fixed (NEP 19). All that follows the
raw 64 bits is computed here, so that no update of a library changes a published recipe's meaning.
"""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mergekit_cycleqd.genome.terms import Term
from mergekit_cycleqd.merging.kept_draws import KeptDraws

KEPT_BYTES = 2**28
"""Memory for draws. A pool of 64 seeds needs 100 MB at 224 matrices of 896 directions."""


class _Generators(threading.local):
    """A Philox generator of each thread: a new state costs a tenth of a new generator."""

    def __init__(self) -> None:
        self.philox = np.random.Philox(key=0)
        self.start = self.philox.state


_generators = _Generators()
_kept = KeptDraws(KEPT_BYTES)


def _stream(seed: int, tensor: str, kind: str, size: int) -> NDArray[np.float64]:
    content = f"mergekit-cycleqd/1\n{kind}\n{seed}\n{tensor}".encode()
    key = hashlib.sha256(content).digest()[:16]
    philox, start = _generators.philox, _generators.start
    start["state"]["key"] = np.frombuffer(key, dtype="<u8")
    philox.state = start
    raw = philox.random_raw(size)
    raw >>= np.uint64(11)
    drawn = raw.astype(np.float64)
    drawn *= 2.0**-53
    return drawn


def uniform(seed: int, tensor: str, size: int) -> NDArray[np.float64]:
    """Draw numbers from [0, 1), one per singular direction of a tensor, by descending value.

    Fewer draws of a seed are the first ones of more draws.

    Args:
        seed: Seed of the draws.
        tensor: Name of the tensor.
        size: How many numbers to draw.

    Returns:
        (size,) float64, read-only: draws are kept, since children share most of them.
    """
    drawn = _kept.take(tensor, size, [seed], _drawing(tensor, size))[0]
    drawn.flags.writeable = False
    return drawn


def _drawing(tensor: str, size: int) -> Callable[[int], NDArray[np.float64]]:
    return lambda seed: _stream(seed, tensor, "uniform", size)


def scaled_sum(terms: Sequence[Term], tensor: str, size: int) -> NDArray[np.float64]:
    """Sum the uniform draws of terms, each multiplied by its scale.

    The sum is taken in the order of the terms, and each step is rounded. This defines a model to
    the bit: the sum of the parents' sums would be another one in its last bits.

    Args:
        terms: Terms of one expert, in canonical order.
        tensor: Name of the tensor.
        size: How many numbers to draw.

    Returns:
        (size,) float64.
    """
    drawn = _kept.take(tensor, size, [seed for _, seed, _ in terms], _drawing(tensor, size))
    total, product = np.zeros(size), np.empty(size)
    for (_, _, scale), draws in zip(terms, drawn, strict=True):
        np.multiply(draws, scale, product)
        np.add(total, product, total)
    return total


def deviations(
    terms: Sequence[Term], tensor: str, size: int, mean: float, *, single: bool
) -> NDArray[Any]:
    """Compute ``scaled_sum - mean``, rounded to float32 if that is what a merge needs.

    A matrix product sums in another order, in a tenth of the time. Its result and that of
    `scaled_sum` lie within a bound of each other (Higham, Accuracy and Stability of Numerical
    Algorithms, section 3.1). Where all numbers within the bound round to the same float32, that is
    the result to the bit. The few other numbers are summed in the order of the terms.

    Args:
        terms: As in `scaled_sum`.
        tensor: As in `scaled_sum`.
        size: As in `scaled_sum`.
        mean: Half of the sum of the scales.
        single: Whether the result is rounded to float32.

    Returns:
        (size,) float32, or float64 if `single` is false.
    """
    if not single:
        return scaled_sum(terms, tensor, size) - mean
    seeds, scales = [t.seed for t in terms], np.array([t.scale for t in terms])
    draw = _drawing(tensor, size)
    summed = _kept.weighted(tensor, size, seeds, scales, draw) - mean
    bound = (2 * len(terms) + 16) * 2.0**-53 * float(np.abs(scales).sum())
    with np.errstate(over="ignore", invalid="ignore"):
        rounded = (summed - bound).astype(np.float32)
        open = np.flatnonzero(rounded != (summed + bound).astype(np.float32))
        if len(open):
            columns = [draws[open] for draws in _kept.take(tensor, size, seeds, draw)]
            in_order = np.add.accumulate(np.array(columns) * scales[:, None], axis=0)[-1]
            rounded[open] = (in_order + 0.0 - mean).astype(np.float32)
    return rounded


def normal(seed: int, tensor: str, size: int) -> NDArray[np.float64]:
    """Draw numbers from the standard normal distribution by the Box-Muller transform.

    Args:
        seed: Seed of the draws.
        tensor: Name of the tensor.
        size: How many numbers to draw.

    Returns:
        (size,) float64, for the elements of the tensor in row-major order.
    """
    u = _stream(seed, tensor, "normal", 2 * ((size + 1) // 2)).reshape(2, -1)
    radius = np.sqrt(-2.0 * np.log1p(-u[0]))
    angle = 2.0 * np.pi * u[1]
    normal: NDArray[np.float64] = np.concatenate([radius * np.cos(angle), radius * np.sin(angle)])
    return normal[:size]
