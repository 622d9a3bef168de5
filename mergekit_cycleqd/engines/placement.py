"""Keep base, experts and singular directions on the model's device, or else in main memory.

Tensors that do not fit on a GPU are kept in page-locked main memory. When a genome needs them, they
are copied to the device one after the other. The next tensor is copied while one is worked on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

from mergekit_cycleqd.merging.float64 import can_hold

FOR_BATCHES = 0.2
"""Share of a GPU's memory that is left to batches and to temporary copies of tensors."""

PIECE = 2**28
"""Bytes of main memory that are allocated at a time, unless a tensor is larger."""

ALIGNED = 512

Kept = TypeVar("Kept")


class TensorStore:
    """Keeps the tensors of one resident model; float64 on the CPU where the device has none.

    Attributes:
        full: Whether a tensor did not fit on its device.
    """

    def __init__(self, room: Callable[[torch.device], float]) -> None:
        """Start without tensors.

        Args:
            room: Gives the number of bytes that may still be taken on a device.
        """
        self._room = room
        self._aside = _MainMemory()
        self.full = False

    def keep(self, tensor: Tensor, device: torch.device) -> Tensor:
        """Copy a tensor to a device, or to main memory if there is no room on the device."""
        if not can_hold(device, tensor.dtype):
            return tensor.cpu()
        needed = 0 if tensor.device == device else tensor.nbytes
        if needed <= self._room(device):
            return tensor.to(device)
        self.full = True
        return self._aside.copy(tensor, locked=device.type == "cuda")


class _MainMemory:
    """Main memory in large pieces that tensors share.

    torch rounds the size of page-locked memory up to a power of two. Separate tensors could
    therefore take twice their size.
    """

    def __init__(self) -> None:
        self._piece = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def copy(self, tensor: Tensor, *, locked: bool) -> Tensor:
        """Copy a tensor into the current piece, or into a new one if it is full."""
        if self._used + tensor.nbytes > len(self._piece):
            size = max(PIECE, 1 << (tensor.nbytes - 1).bit_length())
            self._piece = torch.empty(size, dtype=torch.uint8, pin_memory=locked)
            self._used = 0
        where = self._piece[self._used : self._used + tensor.nbytes]
        self._used += -(-tensor.nbytes // ALIGNED) * ALIGNED
        return where.view(tensor.dtype).view(tensor.shape).copy_(tensor)


def room_beside_batches(device: torch.device) -> float:
    """Count the bytes of a device that batches do not need; no limit except on GPUs."""
    if device.type != "cuda":
        return float("inf")
    free, total = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + unused - FOR_BATCHES * total


@cache
def _copying(gpu: torch.device) -> torch.cuda.Stream:
    """The stream that copies to a GPU: one for all genomes, as torch reuses memory by stream."""
    return torch.cuda.Stream(gpu)  # type: ignore[no-untyped-call]


def prefetch(
    kept: Iterable[Kept],
    on_device: Callable[[Kept], Kept],
    copied_to: Callable[[Kept], torch.device | None],
) -> Iterator[tuple[Kept, Kept]]:
    """Copy items to their device one ahead, and yield each item with its copy.

    While the current stream works on one copy, a second stream makes the next. There are never more
    than two copies on the device.

    Args:
        kept: The items.
        on_device: Copies an item to its device without waiting for the copy.
        copied_to: Gives the GPU of the copy, or None if there is no copy to a GPU.

    Yields:
        An item, and its copy for work of the current stream.
    """

    def begin(item: Kept) -> Callable[[], tuple[Kept, Kept]]:
        gpu = copied_to(item)
        if gpu is None:
            copy = on_device(item)
            return lambda: (item, copy)
        copying = _copying(gpu)
        # The new copy may take the memory of the copy before the last: wait for work on it.
        copying.wait_stream(torch.cuda.current_stream(gpu))
        with torch.cuda.stream(copying):
            copy, copied = on_device(item), copying.record_event()

        def ready() -> tuple[Kept, Kept]:
            torch.cuda.current_stream(gpu).wait_event(copied)
            return item, copy

        return ready

    begun = map(begin, kept)
    before = next(begun, None)
    while before is not None:
        following = next(begun, None)
        yield before()
        before = following
