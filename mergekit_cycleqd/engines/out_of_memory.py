"""Detect running out of memory, release what can be released, and say what to do."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

import torch
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size

from mergekit_cycleqd.checkpoints.checkpoint import Checkpoint
from mergekit_cycleqd.errors import ModelError
from mergekit_cycleqd.system.main_memory import available_memory
from mergekit_cycleqd.system.units import size

_log = logging.getLogger(__name__)

_SIGNS = (
    "out of memory",
    "Cannot allocate memory",  # when a file is mapped
    "CUBLAS_STATUS_ALLOC_FAILED",
    "Memory footprint",  # from the paged cache of transformers' continuous batching
)


class OutOfMemory(ModelError):
    """Raised when a model or the smallest batch does not fit in memory."""


class MemoryGuard:
    """A context for work that may run out of memory. Other exceptions pass through.

    If memory runs out, the tensors of the block and the caches of the device are released.

    Attributes:
        ran_out: The error message if memory ran out; else None.
    """

    ran_out: str | None = None

    def __enter__(self) -> MemoryGuard:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> bool:
        """Suppress an exception that says that memory ran out."""
        if error is None or not is_out_of_memory(error):
            return False
        self.ran_out = next(iter(str(error).splitlines()), "") or type(error).__name__
        traceback.clear_frames(at)  # they hold the tensors of the block
        error.__traceback__ = None
        clear_device_cache(garbage_collection=True)
        return True


def halve_batch(count: int, one: str, device: torch.device, reason: str, mend: str = "") -> int:
    """Halve the size of a batch that did not fit in memory, and log this.

    Args:
        count: Size of the batch.
        one: Name of a batch of one item, for the message.
        device: Device of the batch.
        reason: `MemoryGuard.ran_out`.
        mend: Advice before that on dtype and device; it ends with a comma.

    Raises:
        OutOfMemory: If the batch had one item.
    """
    if count == 1:
        raise OutOfMemory(
            f"{one} does not fit in memory on {device} ({reason}); try {mend}"
            "engine.dtype: bfloat16, or another engine.device"
        )
    half = count // 2
    _log.warning("a batch of %d did not fit in memory on %s: going on with %d", count, device, half)
    return half


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    if not isinstance(error, RuntimeError | OSError):
        return False
    return should_reduce_batch_size(error) or any(sign in str(error) for sign in _SIGNS)


def free_memory(device: torch.device) -> int:
    """Count the bytes that are still free on a device."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return available_memory()


def describe_shortage(
    devices: Sequence[torch.device], base: Checkpoint, experts: Sequence[Checkpoint]
) -> str:
    """Write the end of a message about models that do not fit: need, free memory, advice."""
    model, others = _stored(base), sum(_stored(expert) for expert in experts)
    free = ", ".join(f"{size(free_memory(device))} are free on {device}" for device in devices)
    if devices[0].type == "cuda":
        free += f" and {size(available_memory())} of main memory, which takes what a GPU does not"
    return (
        f"the resident model and the base beside it take about {size(2 * model)}, "
        f"the experts up to {size(others)}, and the directions of mutated experts come on top; "
        f"{free}; try engine.dtype: bfloat16, "
        "a smaller evolution.mutation.rank, fewer workers, or another engine.device"
    )


def _stored(checkpoint: Checkpoint) -> int:
    return sum(file.stat().st_size for file in Path(checkpoint.folder).glob("*.safetensors"))
