"""The devices of an engine, and whether they are available."""

from __future__ import annotations

from typing import Any

import torch

from mergekit_cycleqd.recipe.engine import Engine


def devices_of(engine: Engine) -> list[torch.device]:
    """List the devices that a recipe names; `auto` means a GPU if there is one, Apple's too."""
    if engine.pipeline_parallel_size > 1:
        return [torch.device("cuda", k) for k in range(engine.pipeline_parallel_size)]
    if engine.device == "auto":
        apple = torch.backends.mps.is_available()
        return [torch.device("cuda" if torch.cuda.is_available() else "mps" if apple else "cpu")]
    return [torch.device(engine.device)]


def device_of(engine: Engine) -> torch.device:
    """Give the first device, which takes the model's inputs."""
    return devices_of(engine)[0]


def wait_for_gpu() -> None:
    """Wait until the GPU, if there is one, has done all that it was asked for."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    elif torch.backends.mps.is_available():
        torch.mps.synchronize()


def device_faults(engine: Engine) -> list[str]:
    """List the devices of a recipe that are not available, one line each."""
    try:
        torch.empty(0, device=None if engine.device == "auto" else engine.device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        return [f"engine.device: cannot use {engine.device!r} here ({reason}); try auto or cpu"]
    wanted, there = engine.pipeline_parallel_size, torch.cuda.device_count()
    if wanted > max(1, there):
        return [
            f"engine.pipeline_parallel_size: needs {wanted} GPUs, and {there} can be seen here; "
            "take fewer, or 1 for one GPU or the CPU"
        ]
    return []


def device_map_settings(engine: Engine) -> dict[str, Any]:
    """Make the settings with which `from_pretrained` loads weights straight onto the devices.

    accelerate spreads whole layers over several GPUs, according to their free memory.
    """
    devices = devices_of(engine)
    if len(devices) == 1:
        return {"device_map": {"": devices[0]}}
    free = {k: torch.cuda.mem_get_info(device)[0] for k, device in enumerate(devices)}
    return {"device_map": "balanced", "max_memory": free}
