"""Where an engine runs."""

from __future__ import annotations

import torch

from mergekit_cycleqd.recipe import Engine


def device_of(engine: Engine) -> torch.device:
    """The device that a recipe's section names; by `auto` a GPU where there is one."""
    if engine.device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return torch.device(engine.device)
