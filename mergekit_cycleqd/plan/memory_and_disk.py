"""Disk, memory and device memory of this machine against what a run needs."""

from __future__ import annotations

import math
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mergekit_cycleqd.plan.findings import Finding, Level
from mergekit_cycleqd.plan.model_sizes import Sizes
from mergekit_cycleqd.recipe.evolution import SvdMutation
from mergekit_cycleqd.recipe.recipe import Recipe
from mergekit_cycleqd.system.main_memory import available_memory
from mergekit_cycleqd.system.units import size


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


@dataclass(frozen=True)
class Demand:
    """What the engines of this machine take of its memory or of one of its GPUs.

    Attributes:
        part: `memory` or `device memory`.
        certain: Bytes without which nothing runs.
        likely: Bytes when all is there, as far as it is known.
        parts: What they are for.
        mend: What of the recipe to change for less.
    """

    part: str
    certain: int
    likely: int
    parts: str
    mend: str


def memory(recipe: Recipe, needs: Sizes, *, exact: bool) -> list[Finding]:
    """Whether the models fit, in memory and on the device.

    Args:
        recipe: The run.
        needs: Of one engine.
        exact: Whether it is known in which tensors the experts differ from the base.
    """
    engines = recipe.workers.count
    if recipe.workers.cluster is not None or engines == "auto":
        text = f"not looked at on a cluster's machines; each worker holds {_parts(needs)}"
        return [Finding("skipped", "memory", text)]
    device, gpus, room = _device(recipe), 0, math.inf
    free = {"memory": available_memory()}
    if device is not None:
        import torch

        from mergekit_cycleqd.engines.placement import room_beside_batches

        free["device memory"], _ = torch.cuda.mem_get_info(device)
        gpus = torch.cuda.device_count() if device == "cuda" else 1
        room = room_beside_batches(torch.device(device))
    demands = demanded(recipe, needs, engines, exact=exact, gpus=gpus, room=room)
    return [_verdict(each, free[each.part]) for each in demands]


def demanded(
    recipe: Recipe,
    needs: Sizes,
    engines: int,
    *,
    exact: bool,
    gpus: int,
    room: float = math.inf,
) -> list[Demand]:
    """What so many engines need.

    On a CPU the weights of base and experts are read through the page cache, which may drop them
    again at the cost of time, so only the resident model and the directions must fit. Of a GPU
    only the model must: what there is no room for beside it goes to main memory. An engine
    that merges in its workers has a part of the model in each of them, and all of base, experts
    and directions in main memory for each of them.

    Args:
        recipe: The run.
        needs: Of one engine.
        engines: How many.
        exact: As for `memory`.
        gpus: Which they share; 0 for engines on the CPU.
        room: Bytes of each GPU that can be taken; see `placement.room_beside_batches`.
    """
    parts = _parts(needs) + (f"; {engines} workers" if engines > 1 else "")
    mutation = recipe.evolution.mutation
    by_energy = isinstance(mutation, SvdMutation) and mutation.energy is not None
    directions = needs.directions if exact and not by_energy else 0
    lever = "evolution.task_vectors" if recipe.task_vectors else "evolution.mutation"
    mend, held = f"engine.dtype and {lever}", needs.together - needs.model
    if recipe.engine.merges_in_workers:
        each = recipe.engine.gpus
        title = recipe.engine.traits.title
        parts += f"; held by each of {title}'s {each} workers" if each > 1 else ""
        certain, likely = engines * each * directions, engines * each * held
        if not gpus:
            model = engines * needs.model
            return [Demand("memory", model + certain, model + likely, parts, mend)]
        model = _on_one(engines, max(1, gpus // each)) * needs.model // each
        return [
            Demand("device memory", model, model, f"model {size(needs.model)}", "engine.dtype"),
            Demand("memory", certain, likely, parts, f"{lever} and workers.count"),
        ]
    if not gpus:
        certain, likely = needs.model + directions, needs.together
        return [Demand("memory", engines * certain, engines * likely, parts, mend)]
    certain = needs.model + needs.base + directions + (needs.experts if exact else 0)
    each = recipe.engine.gpus
    on_gpus, beyond = _on_gpus(needs, certain, engines, each, gpus, room)
    demands = [Demand("device memory", *on_gpus, parts, mend)]
    if beyond[1]:
        what = "of base, experts and directions, what GPUs have no room for"
        demands.append(Demand("memory", *beyond, what, "workers.count"))
    return demands


def _on_gpus(
    needs: Sizes, certain: int, engines: int, each: int, gpus: int, room: float
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Bytes of one GPU, and of main memory for what GPUs have no room for.

    Args:
        needs: Of one engine.
        certain: Bytes without which an engine does not run.
        engines: How many.
        each: How many GPUs one engine has.
        gpus: How many there are.
        room: Bytes of each that can be taken.

    Returns:
        The certain and the likely bytes of each of the two.
    """
    here = _on_one(engines, max(1, gpus // each))
    most = max(here * needs.model / each, room)
    wanted = (certain, needs.together)
    there = [min(here * all_of_it / each, most) for all_of_it in wanted]
    beyond = [
        round(engines * (all_of_it - on_one * each / here))
        for all_of_it, on_one in zip(wanted, there, strict=True)
    ]
    return (round(there[0]), round(there[1])), (beyond[0], beyond[1])


def _on_one(engines: int, places: int) -> int:
    """How many engines at most are in one place, where they take turns."""
    return math.ceil(engines / places)


def _parts(needs: Sizes) -> str:
    kept = "directions" if needs.on_disk or not needs.directions else "transformed task vectors"
    return (
        f"model {size(needs.model)}, base and experts {size(needs.base + needs.experts)}, "
        f"{kept} {size(needs.directions)}"
    )


def _verdict(demand: Demand, free: int) -> Finding:
    part, parts, mend = demand.part, demand.parts, demand.mend
    if demand.certain > free:
        text = (
            f"{mend}: needs {size(demand.certain)} of {part} or more, and {size(free)} are free "
            f"({parts})"
        )
        return Finding("fault", part, text)
    text = f"{size(demand.likely)} of {size(free)} free ({parts}), and what batches take"
    if demand.likely > free:
        return Finding("warning", part, f"may need {text}; a smaller {mend} needs less")
    return Finding("ok", part, text)


def _device(recipe: Recipe) -> str | None:
    """The GPU that the engine runs on; None for the CPU."""
    import torch

    wanted = recipe.engine.device
    if not torch.cuda.is_available() or wanted == "cpu":
        return None
    return "cuda" if wanted == "auto" else wanted if wanted.startswith("cuda") else None
