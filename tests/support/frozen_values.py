"""Which dataclasses of a folder of the package do not change once they are made."""

from __future__ import annotations

import pkgutil
from dataclasses import is_dataclass
from importlib import import_module
from typing import Any


def dataclasses_in(folder: str) -> dict[str, Any]:
    """The dataclasses that the modules of a folder define, by ``module.name``."""
    package = import_module(f"mergekit_cycleqd.{folder}")
    found = {}
    for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        for name, member in vars(import_module(info.name)).items():
            if isinstance(member, type) and member.__module__ == info.name and is_dataclass(member):
                found[f"{info.name.rpartition('.')[2]}.{name}"] = member
    return found


def frozen_in(folder: str) -> set[str]:
    """Those whose attributes cannot be set."""
    found = dataclasses_in(folder).items()
    return {name for name, member in found if member.__dataclass_params__.frozen}


def small_in(folder: str) -> set[str]:
    """Those without a dictionary for each value."""
    return {
        name for name, member in dataclasses_in(folder).items() if "__dict__" not in dir(member)
    }
