"""Time, memory and speed of the machine, as the benchmarks measure them."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import NamedTuple

import psutil
import torch


def synchronize(device: str) -> None:
    """Wait until the device has finished its work."""
    if device != "cpu":
        torch.cuda.synchronize()


def timed(device: str, make: Callable[[int], object], repeats: int) -> list[float]:
    """Measure the seconds of each call after the first one, which fills caches."""
    make(0)
    seconds = []
    for child in range(1, repeats + 1):
        synchronize(device)
        start = time.perf_counter()
        make(child)
        synchronize(device)
        seconds.append(time.perf_counter() - start)
    return seconds


@contextmanager
def peak_memory(device: str) -> Iterator[list[int]]:
    """Give a list to which the growth of peak memory, in bytes, is added at the end."""
    growth: list[int] = []
    if device != "cpu":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        yield growth
        growth.append(torch.cuda.max_memory_allocated() - before)
        return
    process, peak, stop = psutil.Process(), [0], threading.Event()
    before = process.memory_info().rss

    def watch() -> None:
        while not stop.wait(0.005):
            peak[0] = max(peak[0], process.memory_info().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        yield growth
    finally:
        stop.set()
        watcher.join()
    growth.append(peak[0] - before)


def page_locked(device: str) -> int:
    """Count the bytes of page-locked main memory of this process; none without a GPU."""
    if device == "cpu":
        return 0
    return int(torch.cuda.host_memory_stats().get("allocated_bytes.current", 0))


class Rates(NamedTuple):
    """What a machine can do in a second.

    Attributes:
        flops: Floating-point operations, by dtype.
        copied: Bytes read and written.
        sent: Bytes copied to the device from page-locked main memory.
    """

    flops: dict[torch.dtype, float]
    copied: float
    sent: float


def rates(device: str, side: int = 0) -> Rates:
    """Measure the rates of a large matrix product and of large copies, best of five.

    Args:
        device: Where.
        side: Rows and columns of the matrices; 0 for those that fill the device.
    """
    side = side or (4096 if device == "cpu" else 16384)
    flops = {}
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(side, side, device=device).to(dtype)
        flops[dtype] = 2 * side**3 / min(timed(device, partial(_square, a), 5))
    a = torch.randn(side, side, device=device)
    out = torch.empty_like(a)
    copied = 2 * a.nbytes / min(timed(device, lambda _: out.copy_(a), 5))
    if device == "cpu":
        return Rates(flops, copied, copied)
    locked = torch.empty(a.shape, pin_memory=True)
    sent = a.nbytes / min(timed(device, lambda _: out.copy_(locked, non_blocking=True), 5))
    return Rates(flops, copied, sent)


def _square(matrix: torch.Tensor, _: int) -> torch.Tensor:
    return matrix @ matrix


def size(count: int) -> str:
    """Format a number of bytes."""
    return f"{count / 1e6:,.0f} MB" if count >= 1e6 else f"{count / 1e3:.1f} KB"
