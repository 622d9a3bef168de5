"""Fingerprints of weights that are in memory, on whichever device."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor

_WORDS = (torch.int64, torch.int32, torch.int16, torch.int8)


def row_sums(tensor: Tensor) -> bytes:
    """Sums of the bits of each row, as whole numbers of 64 bits.

    The tensor is read once, on the device where it is, and a number per row is taken off it. Any
    one number that changes, changes them; where in a row it stands does not count.

    Args:
        tensor: Of any dtype and shape; one of fewer than two axes is one row.
    """
    exact = tensor.detach().contiguous()
    rows = exact.reshape(len(exact) if exact.ndim > 1 else 1, -1)
    width = rows.shape[1] * rows.element_size()
    word = next(word for word in _WORDS if width % word.itemsize == 0)
    return bytes(rows.view(word).sum(1, dtype=torch.int64).cpu().numpy().tobytes())


def tensor_digest(tensor: Tensor) -> str:
    """16 hex digits of what a tensor holds."""
    return hashlib.blake2b(row_sums(tensor), digest_size=8).hexdigest()
