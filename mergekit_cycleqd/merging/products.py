"""Matrix products that are added to a merged tensor, block by block of its rows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mergekit_cycleqd.merging.float64 import placed


class Product(NamedTuple):
    """The two factors of a matrix ``left @ right``."""

    left: Tensor
    right: Tensor


class Products(NamedTuple):
    """Products of one dtype and one device, whose sum is computed for some rows at a time.

    Attributes:
        lefts: Left factors, (m, r) each.
        rights: Right factors, (r, n) each, or all of them joined as one.
    """

    lefts: Sequence[Tensor]
    rights: Sequence[Tensor]

    def add_to(self, total: Tensor, rows: slice) -> None:
        """Add rows of the sum; products of a narrower dtype are added up and rounded before."""
        if self.rights[0].dtype != total.dtype:
            total += placed(self.sum(rows), total.device, total.dtype)
            return
        for left, right in self._factors(rows):
            total.addmm_(left, right)

    def sum(self, rows: slice) -> Tensor:
        """Compute rows of the sum in the dtype of the factors."""
        factors = self._factors(rows)
        left, right = next(factors)
        total = left @ right
        for left, right in factors:
            total.addmm_(left, right)
        return total

    def _factors(self, rows: slice) -> Iterator[tuple[Tensor, Tensor]]:
        lefts = [left[rows] for left in self.lefts]
        if len(self.rights) == 1:
            lefts = [torch.cat(lefts, 1)]
        return zip(lefts, self.rights, strict=True)


def by_dtype(products: Sequence[Product]) -> list[Products]:
    """Group products by their dtype, and join the right factors of each group on a CPU.

    One long product is faster there. On a GPU joining costs more than it saves.
    """
    groups: dict[torch.dtype, list[Product]] = {}
    for product in products:
        groups.setdefault(product.left.dtype, []).append(product)
    found = []
    for group in groups.values():
        rights = [right for _, right in group]
        joined = [torch.cat(rights)] if rights[0].device.type == "cpu" else rights
        found.append(Products([left for left, _ in group], joined))
    return found


def is_narrow(sums: Sequence[Products]) -> bool:
    """Whether there are at most products of 16 bits, so that their sum is one tensor."""
    return not sums or (len(sums) == 1 and sums[0].rights[0].dtype.itemsize == 2)
