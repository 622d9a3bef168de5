"""Where base, experts and directions are kept: on the model's device while there is room there.

What does not fit is kept in main memory, page-locked, and copied to the device tensor by tensor
when a genome needs it, the next tensor's copies beside the work on the one before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import TypeVar

import torch
from torch import Tensor

FOR_BATCHES = 0.2
"""Share of a GPU's memory that is left to batches, and to tensors that were copied for a moment."""

PIECE = 2**28
"""Bytes of main memory that are taken at a time, as long as tensors are smaller."""

ALIGNED = 512

Kept = TypeVar("Kept")


class TensorStore:
    """Where the tensors of one resident model are kept.

    Attributes:
        full: Whether something did not fit on its device.
    """

    def __init__(self, room: Callable[[torch.device], float]) -> None:
        """Begin with nothing.

        Args:
            room: How many more bytes may be kept on a device.
        """
        self._room = room
        self._aside = _MainMemory()
        self.full = False

    def keep(self, tensor: Tensor, device: torch.device) -> Tensor:
        """The tensor on a device, or in main memory where there is no room for it."""
        needed = 0 if tensor.device == device else tensor.nbytes
        if needed <= self._room(device):
            return tensor.to(device)
        self.full = True
        return self._aside.copy(tensor, locked=device.type == "cuda")


class _MainMemory:
    """Main memory that is taken in large pieces, since torch rounds page-locked ones up.

    It rounds to powers of two, which for tensors one by one would take up to twice their memory.
    """

    def __init__(self) -> None:
        self._piece = torch.empty(0, dtype=torch.uint8)
        self._used = 0

    def copy(self, tensor: Tensor, *, locked: bool) -> Tensor:
        """The same there."""
        if self._used + tensor.nbytes > len(self._piece):
            size = max(PIECE, 1 << (tensor.nbytes - 1).bit_length())
            self._piece = torch.empty(size, dtype=torch.uint8, pin_memory=locked)
            self._used = 0
        where = self._piece[self._used : self._used + tensor.nbytes]
        self._used += -(-tensor.nbytes // ALIGNED) * ALIGNED
        return where.view(tensor.dtype).view(tensor.shape).copy_(tensor)


def room_beside_batches(device: torch.device) -> float:
    """Bytes of a device that can be taken and leave enough to batches; no limit but on GPUs."""
    if device.type != "cuda":
        return float("inf")
    free, total = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + unused - FOR_BATCHES * total


@cache
def _copying(gpu: torch.device) -> torch.cuda.Stream:
    """The stream that copies to a GPU: one for all genomes, since memory is reused by stream."""
    return torch.cuda.Stream(gpu)  # type: ignore[no-untyped-call]


def prefetch(
    kept: Iterable[Kept],
    on_device: Callable[[Kept], Kept],
    copied_to: Callable[[Kept], torch.device | None],
) -> Iterator[tuple[Kept, Kept]]:
    """Each of what is kept, and the same on its device, ready for work of the current stream.

    While one is worked on, a stream of its own copies the next; no third is on the device.

    Args:
        kept: What is to be worked on, one after the other.
        on_device: Gives the same on its device, by copies that are not waited for.
        copied_to: The GPU that it copies to, or None where it copies nothing, or to no GPU.
    """

    def begin(each: Kept) -> Callable[[], tuple[Kept, Kept]]:
        gpu = copied_to(each)
        if gpu is None:
            there = on_device(each)
            return lambda: (each, there)
        copying = _copying(gpu)
        # What it writes to may be memory of the one before the last, whose work this waits for.
        copying.wait_stream(torch.cuda.current_stream(gpu))
        with torch.cuda.stream(copying):
            there, copied = on_device(each), copying.record_event()

        def ready() -> tuple[Kept, Kept]:
            torch.cuda.current_stream(gpu).wait_event(copied)
            return each, there

        return ready

    begun = map(begin, kept)
    before = next(begun, None)
    while before is not None:
        following = next(begun, None)
        yield before()
        before = following
