"""Disk, memory and device memory of this machine against what a run needs."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from mergekit_cycleqd.plan.findings import Finding, Level, size
from mergekit_cycleqd.plan.sizes import Sizes
from mergekit_cycleqd.recipe import Recipe
from mergekit_cycleqd.recipe_evolution import SvdMutation

_GROUPS = (  # both versions of control groups: folder, limit, usage, and what may be dropped
    ("/sys/fs/cgroup", "memory.max", "memory.current", "inactive_file"),
    (
        "/sys/fs/cgroup/memory",
        "memory.limit_in_bytes",
        "memory.usage_in_bytes",
        "total_inactive_file",
    ),
)


@dataclass(frozen=True)
class Written:
    """What a run writes somewhere.

    Attributes:
        what: In a few words.
        folder: Where; it need not exist yet.
        needed: Bytes.
        mend: How to have it elsewhere.
        vital: Whether a run cannot do without it; bases that are not kept are made again.
    """

    what: str
    folder: Path
    needed: int
    mend: str
    vital: bool = True


def disk(writes: Sequence[Written]) -> list[Finding]:
    """Whether every folder can be written to, and each disk has room for all that goes to it."""
    found = []
    disks: dict[int, list[tuple[Written, Path]]] = {}
    for each in writes:
        there = _existing(each.folder)
        if (reason := _unwritable(there)) is not None:
            text = f"{each.mend}: {each.what} must be written to {each.folder}, and {reason}"
            found.append(Finding("fault" if each.vital else "warning", "disk", text))
        else:
            disks.setdefault(there.stat().st_dev, []).append((each, there))
    for together in disks.values():
        free = shutil.disk_usage(together[0][1]).free
        needed = sum(each.needed for each, _ in together)
        parts = ", ".join(f"{e.what} {size(e.needed)} in {e.folder}" for e, _ in together)
        if needed > free:
            largest = max((each for each, _ in together), key=lambda each: each.needed)
            text = (
                f"{largest.mend}: needs {size(needed)} of disk ({parts}), and {size(free)} are free"
            )
            level: Level = "fault" if any(each.vital for each, _ in together) else "warning"
            found.append(Finding(level, "disk", text))
        else:
            found.append(Finding("ok", "disk", f"{size(needed)} of {size(free)} free: {parts}"))
    return found


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists():
        folder = folder.parent
    return folder


def _unwritable(folder: Path) -> str | None:
    if not folder.is_dir():
        return f"{folder} is no folder"
    try:
        with tempfile.TemporaryFile(dir=folder):
            return None
    except OSError as error:
        return f"{folder} does not take files ({error.strerror})"


def memory(recipe: Recipe, needs: Sizes, *, exact: bool) -> list[Finding]:
    """Whether the models fit, in memory and on the device.

    On a CPU the weights of base and experts are read through the page cache, which may drop them
    again at the cost of time, so only the resident model and the directions must fit; on a GPU all
    must.

    Args:
        recipe: The run.
        needs: Of one engine.
        exact: Whether it is known in which tensors the experts differ from the base.
    """
    parts = (
        f"model {size(needs.model)}, base and experts {size(needs.base + needs.experts)}, "
        f"directions {size(needs.directions)}"
    )
    engines = recipe.workers.count
    if recipe.workers.kind == "ray" or engines == "auto":
        text = f"not looked at on a cluster's machines; each worker holds {parts}"
        return [Finding("skipped", "memory", text)]
    parts += f"; {engines} workers" if engines > 1 else ""
    mutation = recipe.evolution.mutation
    by_energy = isinstance(mutation, SvdMutation) and mutation.energy is not None
    directions = needs.directions if exact and not by_energy else 0
    mend, likely, free = "engine.dtype and evolution.mutation", needs.together, available_memory()
    device = _device(recipe)
    if device is None:
        certain = needs.model + directions
        return [_verdict("memory", engines * certain, engines * likely, free, parts, mend)]
    import torch

    on_device, _ = torch.cuda.mem_get_info(device)
    certain = needs.model + needs.base + directions + (needs.experts if exact else 0)
    loading, once = engines * needs.model, "models while they are loaded"
    return [
        _verdict("device memory", engines * certain, engines * likely, on_device, parts, mend),
        _verdict("memory", loading, loading, free, once, "workers.count"),
    ]


def _verdict(part: str, certain: int, likely: int, free: int, parts: str, mend: str) -> Finding:
    if certain > free:
        text = (
            f"{mend}: needs {size(certain)} of {part} or more, and {size(free)} are free ({parts})"
        )
        return Finding("fault", part, text)
    text = f"{size(likely)} of {size(free)} free ({parts}), and what batches take"
    if likely > free:
        return Finding("warning", part, f"may need {text}; a smaller {mend} needs less")
    return Finding("ok", part, text)


def _device(recipe: Recipe) -> str | None:
    """The GPU that the engine runs on; None for the CPU."""
    import torch

    wanted = recipe.engine.device
    if not torch.cuda.is_available() or wanted == "cpu":
        return None
    return "cuda" if wanted == "auto" else wanted if wanted.startswith("cuda") else None


def available_memory() -> int:
    """Bytes that can be had without swapping, as the machine and this container's limits say."""
    free = int(psutil.virtual_memory().available)
    for folder, limit, usage, cached in _GROUPS:
        try:
            most, used, stat = (
                (Path(folder) / name).read_text().split() for name in (limit, usage, "memory.stat")
            )
        except OSError:
            continue
        if most[0].isdecimal():
            dropped = int(stat[stat.index(cached) + 1]) if cached in stat else 0
            free = min(free, max(0, int(most[0]) - int(used[0]) + dropped))
    if hasattr(psutil, "RLIMIT_AS"):
        soft, _ = psutil.Process().rlimit(psutil.RLIMIT_AS)
        if soft > 0:
            free = min(free, max(0, int(soft) - psutil.Process().memory_info().vms))
    return free
