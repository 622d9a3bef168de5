"""The random numbers of a recipe: the same on every machine, in any order of tensors, for years.

numpy's Philox generator is counter-based and its raw stream is fixed (NEP 19). All that follows the
raw 64 bits is computed here, so that no update of a library changes a published recipe's meaning.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray


def _stream(seed: int, tensor: str, kind: str, size: int) -> NDArray[np.float64]:
    content = f"mergekit-cycleqd/1\n{kind}\n{seed}\n{tensor}".encode()
    key = int.from_bytes(hashlib.sha256(content).digest()[:16], "little")
    raw = np.random.Philox(key=key).random_raw(size)
    return (raw >> np.uint64(11)).astype(np.float64) * 2.0**-53


@lru_cache(maxsize=16384)
def uniform(seed: int, tensor: str, size: int) -> NDArray[np.float64]:
    """Draw numbers from [0, 1), one per singular direction of a tensor, by descending value.

    Fewer draws of a seed are the first ones of more draws.

    Args:
        seed: Seed of the draws.
        tensor: Name of the tensor.
        size: How many numbers to draw.

    Returns:
        (size,) float64, read-only: draws are cached, since children share most of them.
    """
    drawn = _stream(seed, tensor, "uniform", size)
    drawn.flags.writeable = False
    return drawn


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
