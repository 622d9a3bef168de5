"""Which dataclasses of a folder of the package do not change once they are made."""

from __future__ import annotations

import pkgutil
from dataclasses import is_dataclass
from importlib import import_module


def dataclasses_in(folder: str) -> dict[str, type]:
    """The dataclasses that the modules of a folder define, by module and name."""
    package = import_module(f"mergekit_cycleqd.{folder}")
    names = [info.name for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}.")]
    return {
        name: member
        for module in map(import_module, names)
        for name, member in vars(module).items()
        if isinstance(member, type)
        and is_dataclass(member)
        and member.__module__ == module.__name__
    }


def frozen_in(folder: str) -> set[str]:
    """Those whose attributes cannot be set."""
    found = dataclasses_in(folder).items()
    return {name for name, member in found if member.__dataclass_params__.frozen}  # type: ignore[attr-defined]


def small_in(folder: str) -> set[str]:
    """Those without a dictionary of their own, since a run holds many of them."""
    found = dataclasses_in(folder).items()
    return {name for name, member in found if "__dict__" not in dir(member)}
